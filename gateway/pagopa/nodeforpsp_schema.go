// SPDX-License-Identifier: Apache-2.0

package pagopa

// The complex types of nodeForPsp.xsd, field by field in their order and under
// their names. What paForNode.xsd spells the same is taken from there.
//
// This is the schema of the later specification (SANP 3.13.0). That in
// production differs in one thing: it has no standin in verificaBollettinoRes,
// so that is read here but never written.
var (
	ctPaymentOptionDescription = sequence{
		one("amount", stAmountNotZero),
		one("options", stAmountOption),
		opt("dueDate", stISODate),
		opt("paymentNote", stText210),
	}
	ctPaymentOptionsDescriptionList = sequence{
		many("paymentOptionDescription", ctPaymentOptionDescription, 1, 5),
	}
	ctPaymentOptionsBollettinoDescriptionList = sequence{
		many("paymentOptionDescription", extend(ctPaymentOptionDescription, one("allCCP", xsdBoolean)), 1, 5),
	}

	ctTransferListPSP = sequence{
		many("transfer", sequence{
			one("idTransfer", stIDTransfer),
			one("transferAmount", stAmount),
			one("fiscalCodePA", stFiscalCodePA),
			one("IBAN", stIBANForPSP),
			one("remittanceInformation", stText140),
			opt("metadata", ctMetadata),
		}, 1, 5),
	}
	ctTransferListPSPV2 = sequence{
		many("transfer", sequence{
			one("idTransfer", stIDTransfer),
			one("transferAmount", stAmount),
			one("fiscalCodePA", stFiscalCodePA),
			opt("companyName", stText140),
			optChoice(one("IBAN", stIBANForPSP), one("richiestaMarcaDaBollo", ctRichiestaMarcaDaBollo)),
			one("remittanceInformation", stText140),
			opt("transferCategory", stText140),
			opt("metadata", ctMetadata),
		}, 1, 5),
	}

	ctOutcomeDetails = sequence{
		one("paymentMethod", stPaymentMethod),
		opt("paymentChannel", stPaymentChannel),
		one("fee", stAmount),
		opt("payer", ctSubject),
		one("applicationDate", stISODate),
		one("transferDate", stISODate),
	}
	ctOutcomeDetailsV2 = sequence{
		one("paymentMethod", stPaymentMethod),
		opt("paymentChannel", stPaymentChannel),
		one("fee", stAmount),
		opt("primaryCiIncurredFee", stAmount),
		opt("idBundle", stText70),
		opt("idCiBundle", stText70),
		opt("payer", ctSubject),
		one("applicationDate", stISODate),
		one("transferDate", stISODate),
		opt("marcheDaBollo", ctListaMarcheDaBollo),
	}
	ctListaMarcheDaBollo = sequence{
		many("marcaDaBollo", sequence{
			one("paymentToken", stPaymentToken),
			one("idTransfer", stIDTransfer),
			one("MBDAttachment", xsdBase64Binary),
		}, 1, 25),
	}

	// headPSP is how every request of nodeForPsp begins.
	headPSP = sequence{
		one("idPSP", stIDPSP),
		one("idBrokerPSP", stIDBroker),
		one("idChannel", stIDChannel),
		one("password", stPassword),
	}
	verifyPaymentNoticeReq = extend(headPSP, one("qrCode", ctQrCode))
	verifyPaymentNoticeRes = extend(ctResponse,
		opt("paymentList", ctPaymentOptionsDescriptionList),
		opt("paymentDescription", stText210),
		opt("fiscalCodePA", stFiscalCodePA),
		opt("companyName", stText140),
		opt("officeName", stText140),
		opt("standin", xsdBoolean),
	)
	verificaBollettinoReq = extend(headPSP,
		one("ccPost", stPostalAccount),
		one("noticeNumber", stNoticeNumber),
	)
	verificaBollettinoRes = extend(ctResponse,
		opt("paymentBollettinoList", ctPaymentOptionsBollettinoDescriptionList),
		opt("paymentDescription", stText210),
		opt("fiscalCodePA", stFiscalCodePA),
		opt("noticeNumber", stNoticeNumber),
		opt("companyName", stText140),
		opt("officeName", stText140),
		opt("standin", xsdBoolean),
	)
	activatePaymentNoticeReq = extend(headPSP,
		opt("idempotencyKey", stIdempotencyKey),
		one("qrCode", ctQrCode),
		opt("expirationTime", stExpirationTime),
		one("amount", stAmount),
		opt("dueDate", stISODate),
		opt("paymentNote", stText210),
	)
	activatePaymentNoticeV2Request = extend(activatePaymentNoticeReq,
		opt("paymentMethod", stPaymentMethodFee),
		opt("touchPoint", stTouchpointFee),
	)
	activatePaymentNoticeRes = extend(ctResponse,
		opt("totalAmount", stAmount),
		opt("paymentDescription", stText140),
		opt("fiscalCodePA", stFiscalCodePA),
		opt("companyName", stText140),
		opt("officeName", stText140),
		opt("paymentToken", stPaymentToken),
		opt("transferList", ctTransferListPSP),
		opt("creditorReferenceId", stText35),
		opt("standin", xsdBoolean),
	)
	activatePaymentNoticeV2Response = extend(ctResponse,
		opt("totalAmount", stAmount),
		opt("paymentDescription", stText140),
		opt("fiscalCodePA", stFiscalCodePA),
		opt("companyName", stText140),
		opt("officeName", stText140),
		opt("paymentToken", stPaymentToken),
		opt("transferList", ctTransferListPSPV2),
		opt("metadata", ctMetadata),
		opt("creditorReferenceId", stText35),
		opt("suggestedUserFee", stAmount),
		opt("suggestedPaFee", stAmount),
		opt("suggestedIdBundle", stText70),
		opt("suggestedIdCiBundle", stText70),
		opt("allCCP", xsdBoolean),
		opt("standin", xsdBoolean),
	)
	sendPaymentOutcomeReq = extend(headPSP,
		opt("idempotencyKey", stIdempotencyKey),
		one("paymentToken", stPaymentToken),
		one("outcome", stOutcome),
		opt("details", ctOutcomeDetails),
	)
	sendPaymentOutcomeV2Request = extend(headPSP,
		opt("idempotencyKey", stIdempotencyKey),
		one("paymentTokens", sequence{many("paymentToken", stPaymentToken, 1, 5)}),
		one("outcome", stOutcome),
		opt("details", ctOutcomeDetailsV2),
	)
	demandPaymentNoticeRequest = extend(headPSP,
		one("idSoggettoServizio", stIdentificativoSoggettoServizio),
		one("datiSpecificiServizio", xsdBase64Binary),
	)
	demandPaymentNoticeResponse = extend(ctResponse,
		opt("qrCode", ctQrCode),
		opt("paymentList", ctPaymentOptionsDescriptionList),
		opt("paymentDescription", stText210),
		opt("fiscalCodePA", stFiscalCodePA),
		opt("companyName", stText140),
		opt("officeName", stText140),
	)
)
