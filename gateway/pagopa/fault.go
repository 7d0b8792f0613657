// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"strconv"

	"github.com/beevik/etree"
)

// The outcomes of ctResponse and of a receipt (stOutcome).
const (
	outcomeOK = "OK"
	outcomeKO = "KO"
)

// FaultCode is a code of ctFaultBean. Stored and sent: never renamed.
type FaultCode string

// The codes a creditor answers with (pagoPA, error management guide, "Nodo >
// EC"). A peer may send others.
const (
	PAASintassiXSD           FaultCode = "PAA_SINTASSI_XSD"
	PAASintassiExtraXSD      FaultCode = "PAA_SINTASSI_EXTRAXSD"
	PAAIDDominioErrato       FaultCode = "PAA_ID_DOMINIO_ERRATO"
	PAAIDIntermediarioErrato FaultCode = "PAA_ID_INTERMEDIARIO_ERRATO"
	PAAStazioneIntErrata     FaultCode = "PAA_STAZIONE_INT_ERRATA"
	PAAPagamentoSconosciuto  FaultCode = "PAA_PAGAMENTO_SCONOSCIUTO"
	PAAPagamentoDuplicato    FaultCode = "PAA_PAGAMENTO_DUPLICATO"
	PAAPagamentoInCorso      FaultCode = "PAA_PAGAMENTO_IN_CORSO"
	PAAPagamentoScaduto      FaultCode = "PAA_PAGAMENTO_SCADUTO"
	PAAPagamentoAnnullato    FaultCode = "PAA_PAGAMENTO_ANNULLATO"
	PAASemantica             FaultCode = "PAA_SEMANTICA"
	PAAReceiptDuplicata      FaultCode = "PAA_RECEIPT_DUPLICATA"
	PAASystemError           FaultCode = "PAA_SYSTEM_ERROR"
)

// faultStrings has one fixed text for each code, as the guide advises. Peers'
// operators read it, so it is Italian.
var faultStrings = map[FaultCode]string{
	PAASintassiXSD:           "Errore di sintassi XSD",
	PAASintassiExtraXSD:      "Errore di sintassi extra XSD",
	PAAIDDominioErrato:       "Identificativo dominio errato",
	PAAIDIntermediarioErrato: "Identificativo intermediario errato",
	PAAStazioneIntErrata:     "Stazione intermediario errata",
	PAAPagamentoSconosciuto:  "Pagamento sconosciuto",
	PAAPagamentoDuplicato:    "Pagamento duplicato",
	PAAPagamentoInCorso:      "Pagamento in corso",
	PAAPagamentoScaduto:      "Pagamento scaduto",
	PAAPagamentoAnnullato:    "Pagamento annullato",
	PAASemantica:             "Errore semantico",
	PAAReceiptDuplicata:      "Ricevuta duplicata",
	PAASystemError:           "Errore generico",
}

// Fault is why an outcome is KO (ctFaultBean).
type Fault struct {
	Code        FaultCode
	String      string
	ID          string // who raised it: the creditor's fiscal code, or NodoDeiPagamentiSPC
	Description string
	Serial      *int32
	// What a counterpart further on answered.
	OriginalCode, OriginalString, OriginalDescription string
}

// NewFault makes a fault with the fixed text of its code. Id is the fiscal
// code of the creditor that refuses; description may be empty and must hold no
// part of the request.
func NewFault(code FaultCode, id, description string) *Fault {
	return &Fault{Code: code, String: faultStrings[code], ID: id, Description: description}
}

// AppendKO appends the response to op that is nothing but a fault. Every
// response can be that, so what answers before it knows more uses this.
func AppendKO(b []byte, op Operation, f *Fault) []byte {
	b = appendRoot(b, responseRoots[op])
	b = appendOutcome(b, f)
	return appendRootEnd(b, responseRoots[op])
}

// appendOutcome appends how every response begins: OK without a fault, KO
// with one.
func appendOutcome(b []byte, f *Fault) []byte {
	if f == nil {
		return appendElement(b, "outcome", outcomeOK)
	}
	b = appendElement(b, "outcome", outcomeKO)
	b = append(b, "<fault>"...)
	b = appendElement(b, "faultCode", string(f.Code))
	b = appendElement(b, "faultString", f.String)
	b = appendElement(b, "id", f.ID)
	b = appendOptional(b, "description", f.Description, xsdString)
	if f.Serial != nil {
		b = appendElement(b, "serial", strconv.Itoa(int(*f.Serial)))
	}
	b = appendOptional(b, "originalFaultCode", f.OriginalCode, xsdString)
	b = appendOptional(b, "originalFaultString", f.OriginalString, xsdString)
	b = appendOptional(b, "originalDescription", f.OriginalDescription, xsdString)
	return append(b, "</fault>"...)
}

// readFault returns the fault of a response, nil when its outcome is OK. The
// schema allows a KO without a fault and an OK with one; the Node takes
// neither (SANP, error management guide), and neither do we.
func readFault(el *etree.Element) (*Fault, error) {
	bean := el.SelectElement("fault")
	if (bean == nil) != (value(el, "outcome") == outcomeOK) {
		return nil, &SchemaError{Path: el.Tag + "/fault", Rule: "present with outcome OK, or absent with KO"}
	}
	if bean == nil {
		return nil, nil
	}
	f := &Fault{
		Code:                FaultCode(value(bean, "faultCode")),
		String:              value(bean, "faultString"),
		ID:                  value(bean, "id"),
		Description:         value(bean, "description"),
		OriginalCode:        value(bean, "originalFaultCode"),
		OriginalString:      value(bean, "originalFaultString"),
		OriginalDescription: value(bean, "originalDescription"),
	}
	if bean.SelectElement("serial") != nil {
		n, _ := strconv.ParseInt(token(bean, "serial"), 10, 32) // parsed before, as an int
		serial := int32(n)
		f.Serial = &serial
	}
	return f, nil
}
