// SPDX-License-Identifier: Apache-2.0

package pagopa

// The complex types of sac-common-types-1.0.xsd and paForNode.xsd, field by
// field in their order and under their names.
var (
	ctFaultBean = sequence{
		one("faultCode", xsdString),
		one("faultString", xsdString),
		one("id", xsdString),
		opt("description", xsdString),
		opt("serial", xsdInt),
		opt("originalFaultCode", xsdString),
		opt("originalFaultString", xsdString),
		opt("originalDescription", xsdString),
	}
	ctResponse = sequence{
		one("outcome", stOutcome),
		opt("fault", ctFaultBean),
	}
	ctMetadata = sequence{
		many("mapEntry", sequence{
			one("key", stText140),
			one("value", stText140),
		}, 1, 15),
	}
	ctRichiestaMarcaDaBollo = sequence{
		one("hashDocumento", stBase64Binary72),
		one("tipoBollo", stTipoBolloDigitale),
		one("provinciaResidenza", stNazioneProvincia),
	}

	ctQrCode = sequence{
		one("fiscalCode", stFiscalCodePA),
		one("noticeNumber", stNoticeNumber),
	}
	ctSubject = sequence{
		one("uniqueIdentifier", sequence{
			one("entityUniqueIdentifierType", stEntityUniqueIdentifierType),
			one("entityUniqueIdentifierValue", stEntityUniqueIdentifierValue),
		}),
		one("fullName", stText70),
		opt("streetName", stText70),
		opt("civicNumber", stText16),
		opt("postalCode", stText16),
		opt("city", stText35),
		opt("stateProvinceRegion", stText35),
		opt("country", stNazioneProvincia),
		opt("e-mail", stEMail),
	}
	ctPaymentOptionsDescriptionListPA = sequence{
		one("paymentOptionDescription", sequence{
			one("amount", stAmountNotZero),
			one("options", stAmountOption),
			opt("dueDate", stISODate),
			opt("detailDescription", stText140),
			one("allCCP", xsdBoolean),
		}),
	}

	ctTransferListPA = sequence{
		many("transfer", sequence{
			one("idTransfer", stIDTransfer),
			one("transferAmount", stAmountNotZero),
			one("fiscalCodePA", stFiscalCodePA),
			one("IBAN", stIBAN),
			one("remittanceInformation", stText140),
			one("transferCategory", stText140),
			opt("metadata", ctMetadata),
		}, 1, 5),
	}
	ctTransferListPAV2 = sequence{
		many("transfer", sequence{
			one("idTransfer", stIDTransfer),
			one("transferAmount", stAmountNotZero),
			one("fiscalCodePA", stFiscalCodePA),
			opt("companyName", stText140),
			choice(one("IBAN", stIBAN), one("richiestaMarcaDaBollo", ctRichiestaMarcaDaBollo)),
			one("remittanceInformation", stText140),
			one("transferCategory", stText140),
			opt("metadata", ctMetadata),
		}, 1, 5),
	}
	ctTransferListPAReceiptV2 = sequence{
		many("transfer", sequence{
			one("idTransfer", stIDTransfer),
			one("transferAmount", stAmountNotZero),
			one("fiscalCodePA", stFiscalCodePA),
			opt("companyName", stText140),
			choice(one("IBAN", stIBAN), one("MBDAttachment", xsdBase64Binary)),
			one("remittanceInformation", stText140),
			one("transferCategory", stText140),
			opt("metadata", ctMetadata),
		}, 1, 5),
	}

	ctPaymentPA = sequence{
		one("creditorReferenceId", stText35),
		one("paymentAmount", stAmountNotZero),
		one("dueDate", stISODate),
		opt("retentionDate", xsdDateTime),
		opt("lastPayment", xsdBoolean),
		one("description", stText140),
		opt("companyName", stText140),
		opt("officeName", stText140),
		one("debtor", ctSubject),
		one("transferList", ctTransferListPA),
		opt("metadata", ctMetadata),
	}
	ctPaymentPAV2 = sequence{
		one("creditorReferenceId", stText35),
		one("paymentAmount", stAmountNotZero),
		one("dueDate", stISODate),
		opt("retentionDate", xsdDateTime),
		opt("lastPayment", xsdBoolean),
		one("description", stText140),
		one("companyName", stText140),
		opt("officeName", stText140),
		one("debtor", ctSubject),
		one("transferList", ctTransferListPAV2),
		opt("metadata", ctMetadata),
	}

	ctReceipt = sequence{
		one("receiptId", xsdString),
		one("noticeNumber", stNoticeNumber),
		one("fiscalCode", stFiscalCodePA),
		one("outcome", stOutcome),
		one("creditorReferenceId", stText35),
		one("paymentAmount", stAmount),
		one("description", stText140),
		one("companyName", stText140),
		opt("officeName", stText140),
		one("debtor", ctSubject),
		one("transferList", ctTransferListPA),
		one("idPSP", stText35),
		opt("pspFiscalCode", stText70),
		opt("pspPartitaIVA", stText20),
		one("PSPCompanyName", stText70),
		one("idChannel", stText35),
		one("channelDescription", stText35),
		opt("payer", ctSubject),
		opt("paymentMethod", stText35),
		opt("fee", stAmount),
		opt("paymentDateTime", stISODateTime),
		opt("applicationDate", stISODate),
		opt("transferDate", stISODate),
		opt("metadata", ctMetadata),
		opt("standIn", xsdBoolean),
	}
	ctReceiptV2 = sequence{
		one("receiptId", xsdString),
		one("noticeNumber", stNoticeNumber),
		one("fiscalCode", stFiscalCodePA),
		one("outcome", stOutcome),
		one("creditorReferenceId", stText35),
		one("paymentAmount", stAmount),
		one("description", stText140),
		one("companyName", stText140),
		opt("officeName", stText140),
		one("debtor", ctSubject),
		one("transferList", ctTransferListPAReceiptV2),
		one("idPSP", stText35),
		opt("pspFiscalCode", stText70),
		opt("pspPartitaIVA", stText20),
		one("PSPCompanyName", stText70),
		one("idChannel", stText35),
		one("channelDescription", stText35),
		opt("payer", ctSubject),
		opt("paymentMethod", stText35),
		opt("paymentNote", stText210),
		opt("fee", stAmount),
		opt("primaryCiIncurredFee", stAmount),
		opt("idBundle", stText70),
		opt("idCiBundle", stText70),
		opt("paymentDateTime", stISODateTime),
		opt("applicationDate", stISODate),
		opt("transferDate", stISODate),
		opt("metadata", ctMetadata),
		opt("standIn", xsdBoolean),
	}

	// targetPA is how every request of paForNode begins.
	targetPA = sequence{
		one("idPA", stText35),
		one("idBrokerPA", stText35),
		one("idStation", stText35),
	}
	paVerifyPaymentNoticeReq = extend(targetPA, one("qrCode", ctQrCode))
	paVerifyPaymentNoticeRes = extend(ctResponse,
		opt("paymentList", ctPaymentOptionsDescriptionListPA),
		opt("paymentDescription", stText140),
		opt("fiscalCodePA", stFiscalCodePA),
		opt("companyName", stText140),
		opt("officeName", stText140),
	)
	// paGetPaymentReq and paGetPaymentV2Request.
	paGetPaymentReq = extend(targetPA,
		one("qrCode", ctQrCode),
		opt("amount", stAmount),
		opt("paymentNote", stText210),
		opt("transferType", stTransferType),
		opt("dueDate", stISODate),
	)
	paGetPaymentRes              = extend(ctResponse, opt("data", ctPaymentPA))
	paGetPaymentV2Response       = extend(ctResponse, opt("data", ctPaymentPAV2))
	paSendRTReq                  = extend(targetPA, one("receipt", ctReceipt))
	paSendRTV2Request            = extend(targetPA, one("receipt", ctReceiptV2))
	paDemandPaymentNoticeRequest = extend(targetPA,
		one("idServizio", stIdentificativoServizio),
		one("idSoggettoServizio", stIdentificativoSoggettoServizio),
		one("datiSpecificiServizioRequest", xsdBase64Binary),
	)
	paDemandPaymentNoticeResponse = extend(ctResponse,
		opt("qrCode", ctQrCode),
		opt("paymentList", ctPaymentOptionsDescriptionListPA),
		opt("paymentDescription", stText140),
		opt("fiscalCodePA", stFiscalCodePA),
		opt("companyName", stText140),
		opt("officeName", stText140),
	)
)
