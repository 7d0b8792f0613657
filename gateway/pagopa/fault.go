// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"net/http"
	"strconv"

	"github.com/beevik/etree"

	"github.com/nodogate/nodogate/gateway/soap"
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

// The codes the Node answers a PSP with (the same guide, "PSP > Nodo"): about
// the caller, about the creditor, about the payment.
const (
	PPTSintassiXSD                  FaultCode = "PPT_SINTASSI_XSD"
	PPTSintassiExtraXSD             FaultCode = "PPT_SINTASSI_EXTRAXSD"
	PPTSOAPActionErrata             FaultCode = "PPT_SOAPACTION_ERRATA"
	PPTAutenticazione               FaultCode = "PPT_AUTENTICAZIONE"
	PPTAutorizzazione               FaultCode = "PPT_AUTORIZZAZIONE"
	PPTPSPSconosciuto               FaultCode = "PPT_PSP_SCONOSCIUTO"
	PPTPSPDisabilitato              FaultCode = "PPT_PSP_DISABILITATO"
	PPTIntermediarioPSPSconosciuto  FaultCode = "PPT_INTERMEDIARIO_PSP_SCONOSCIUTO"
	PPTIntermediarioPSPDisabilitato FaultCode = "PPT_INTERMEDIARIO_PSP_DISABILITATO"
	PPTCanaleSconosciuto            FaultCode = "PPT_CANALE_SCONOSCIUTO"
	PPTCanaleDisabilitato           FaultCode = "PPT_CANALE_DISABILITATO"

	PPTDominioSconosciuto             FaultCode = "PPT_DOMINIO_SCONOSCIUTO"
	PPTDominioDisabilitato            FaultCode = "PPT_DOMINIO_DISABILITATO"
	PPTIntermediarioPASconosciuto     FaultCode = "PPT_INTERMEDIARIO_PA_SCONOSCIUTO"
	PPTIntermediarioPADisabilitato    FaultCode = "PPT_INTERMEDIARIO_PA_DISABILITATO"
	PPTStazioneIntPASconosciuta       FaultCode = "PPT_STAZIONE_INT_PA_SCONOSCIUTA"
	PPTStazioneIntPADisabilitata      FaultCode = "PPT_STAZIONE_INT_PA_DISABILITATA"
	PPTStazioneIntPAIrraggiungibile   FaultCode = "PPT_STAZIONE_INT_PA_IRRAGGIUNGIBILE"
	PPTStazioneIntPAServizioNonattivo FaultCode = "PPT_STAZIONE_INT_PA_SERVIZIO_NONATTIVO"
	PPTStazioneIntPATimeout           FaultCode = "PPT_STAZIONE_INT_PA_TIMEOUT"
	PPTStazioneIntPAErroreResponse    FaultCode = "PPT_STAZIONE_INT_PA_ERRORE_RESPONSE"
	PPTIBANNonCensito                 FaultCode = "PPT_IBAN_NON_CENSITO"
	PPTErroreEmessoDaPAA              FaultCode = "PPT_ERRORE_EMESSO_DA_PAA"

	PPTPagamentoInCorso     FaultCode = "PPT_PAGAMENTO_IN_CORSO"
	PPTPagamentoDuplicato   FaultCode = "PPT_PAGAMENTO_DUPLICATO"
	PPTPagamentoSconosciuto FaultCode = "PPT_PAGAMENTO_SCONOSCIUTO"
	PPTAttivazioneInCorso   FaultCode = "PPT_ATTIVAZIONE_IN_CORSO"
	PPTErroreIdempotenza    FaultCode = "PPT_ERRORE_IDEMPOTENZA"
	PPTTokenSconosciuto     FaultCode = "PPT_TOKEN_SCONOSCIUTO"
	PPTTokenScaduto         FaultCode = "PPT_TOKEN_SCADUTO"
	PPTTokenScadutoKO       FaultCode = "PPT_TOKEN_SCADUTO_KO"
	PPTEsitoGiaAcquisito    FaultCode = "PPT_ESITO_GIA_ACQUISITO"
	PPTSemantica            FaultCode = "PPT_SEMANTICA"
	PPTMultiBeneficiario    FaultCode = "PPT_MULTI_BENEFICIARIO"
	PPTFlussoDuplicato      FaultCode = "PPT_FLUSSO_DUPLICATO"
	PPTIDCarrelloDuplicato  FaultCode = "PPT_ID_CARRELLO_DUPLICATO"
	PPTSuperamentoSoglia    FaultCode = "PPT_SUPERAMENTOSOGLIA"
	PPTSystemError          FaultCode = "PPT_SYSTEM_ERROR"
)

// faultStrings has one fixed text for each code, as the guide advises. Peers'
// operators read it, so it is Italian; but the Node guarantees its own texts
// ("Relazione tra faultCode e faultString"), and where the guide lists one that
// is the one here, two in English among them.
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

	PPTSintassiXSD:                  "Errore di sintassi XSD",
	PPTSintassiExtraXSD:             "Errore di sintassi extra XSD",
	PPTSOAPActionErrata:             "SOAPAction errata",
	PPTAutenticazione:               "Errore di autenticazione",
	PPTAutorizzazione:               "Il richiedente non ha i diritti per l'operazione",
	PPTPSPSconosciuto:               "PSP sconosciuto",
	PPTPSPDisabilitato:              "PSP conosciuto ma disabilitato da configurazione",
	PPTIntermediarioPSPSconosciuto:  "Identificativo intermediario psp sconosciuto",
	PPTIntermediarioPSPDisabilitato: "Intermediario psp disabilitato",
	PPTCanaleSconosciuto:            "Canale sconosciuto",
	PPTCanaleDisabilitato:           "Canale conosciuto ma disabilitato da configurazione",

	PPTDominioSconosciuto:             "IdentificativoDominio sconosciuto",
	PPTDominioDisabilitato:            "Dominio disabilitato",
	PPTIntermediarioPASconosciuto:     "Identificativo intermediario dominio sconosciuto",
	PPTIntermediarioPADisabilitato:    "Intermediario dominio disabilitato",
	PPTStazioneIntPASconosciuta:       "IdentificativoStazioneRichiedente sconosciuto",
	PPTStazioneIntPADisabilitata:      "Stazione disabilitata",
	PPTStazioneIntPAIrraggiungibile:   "Errore di connessione verso la Stazione",
	PPTStazioneIntPAServizioNonattivo: "Il Servizio Applicativo della Stazione non è attivo",
	PPTStazioneIntPATimeout:           "Timeout risposta dalla Stazione",
	PPTStazioneIntPAErroreResponse:    "Errore di risposta dalla stazione",
	PPTIBANNonCensito:                 "Il codice IBAN indicato dal EC non è presente nella lista degli IBAN comunicati al sistema pagoPA",
	PPTErroreEmessoDaPAA:              "Errore restituito dall'Ente Creditore",

	PPTPagamentoInCorso:     "Pagamento in attesa risulta in corso al sistema pagoPA",
	PPTPagamentoDuplicato:   "Pagamento in attesa risulta concluso al sistema pagoPA",
	PPTPagamentoSconosciuto: "Pagamento sconosciuto",
	PPTAttivazioneInCorso:   "Attivazione in corso",
	PPTErroreIdempotenza:    "Errore idempotenza",
	PPTTokenSconosciuto:     "unknown token",
	PPTTokenScaduto:         "paymentToken is expired",
	PPTTokenScadutoKO:       "paymentToken is expired",
	PPTEsitoGiaAcquisito:    "L'esito del pagamento risulta già acquisito dal sistema pagoPA",
	PPTSemantica:            "Errore semantico",
	PPTMultiBeneficiario:    "La chiamata non è compatibile con il nuovo modello PSP",
	PPTFlussoDuplicato:      "Flusso di rendicontazione duplicato",
	PPTIDCarrelloDuplicato:  "Identificativo Carrello RPT duplicato",
	PPTSuperamentoSoglia:    "Una qualche soglia fissata per PPT è temporaneamente superata e la richiesta è quindi rifiutata",
	PPTSystemError:          "Errore generico",
}

// NodeID is the id of the faults that the Node raises itself.
const NodeID = "NodoDeiPagamentiSPC"

// Fault is why an outcome is KO (ctFaultBean).
type Fault struct {
	Code        FaultCode
	String      string
	ID          string // who raised it: the creditor's fiscal code, or NodeID
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

// NewNodeFault is NewFault for the codes the Node raises itself, all PPT but
// PPTErroreEmessoDaPAA.
func NewNodeFault(code FaultCode, description string) *Fault {
	return NewFault(code, NodeID, description)
}

// NewCreditorFault makes what the Node tells a PSP when a creditor refuses
// (the guide, "Errore emesso da controparte"): the only fault that carries
// another's id and another's fault.
func NewCreditorFault(original *Fault) *Fault {
	// A PSP that does not know the original fields finds the reason here.
	f := NewFault(PPTErroreEmessoDaPAA, original.ID, "FaultString PAA: "+original.String)
	f.OriginalCode, f.OriginalString, f.OriginalDescription = string(original.Code), original.String, original.Description
	return f
}

// OK is the answer of a face that is the message m.
func OK(m Message) soap.Answer {
	return soap.Answer{Status: http.StatusOK, Outcome: soap.OutcomeOK, Body: soap.AppendEnvelope(nil, m.Append)}
}

// KO is the answer of a face that is nothing but a fault.
func KO(op Operation, f *Fault) soap.Answer {
	return soap.Answer{
		Status: http.StatusOK, Outcome: soap.OutcomeKO, Code: string(f.Code),
		Body: soap.AppendEnvelope(nil, func(b []byte) []byte { return AppendKO(b, op, f) }),
	}
}

// AppendKO appends the response to op that is nothing but a fault. Every
// response can be that, so what answers before it knows more uses this.
func AppendKO(b []byte, op Operation, f *Fault) []byte {
	root := responseRoots[op]
	b = append(b, root.start...)
	b = appendOutcome(b, f)
	return append(b, root.end...)
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
