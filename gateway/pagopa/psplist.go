// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"cmp"

	"github.com/beevik/etree"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/soap"
)

// PSPListing is one informativaPSP of the node's list of PSPs
// (listaInformativePSP, CatalogoDatiInformativiPSP.xsd): who it is, and what
// each of its services costs a payer.
type PSPListing struct {
	PSP      string // identificativoPSP
	Name     string // ragioneSociale
	Services []PSPService
}

// PSPService is one informativaDetail.
type PSPService struct {
	Channel string // identificativoCanale
	Method  string // tipoVersamento
	Model   string // modelloPagamento; "4" is paid at the PSP and cannot be started elsewhere
	Bands   []FeeBand
}

// FeeBand is a fasciaCostoServizio: what a payment of up to UpTo, which is
// included, costs.
type FeeBand struct {
	UpTo       money.Cents // importoMassimoFascia
	Fee        money.Cents // costoFisso
	Commission money.Cents // valoreCommissione, zero while tipoCommissione is
	// Convention says that only creditors with a contract of theirs pay it.
	Convention bool
}

const unbounded = 1 << 30

// The types of CatalogoDatiInformativiPSP.xsd. An element that has a default
// may be empty. Looser than the schema in one thing: the codes of tipoVersamento
// have grown with every version, and a list is not wrong for having a new one.
var (
	stIdentificativoFlusso = &simpleType{name: "stIdentificativoFlusso", valid: matches(`[0-9A-Z]{6,14}_[0-9]{2}-[0-9]{2}-[0-9]{4}`)}
	stIdentificativoPSP    = &simpleType{name: "stIdentificativoPSP", valid: matches(`[A-Z0-9]{6,14}`)}
	stAbiCode              = &simpleType{name: "stAbiCode", valid: matches(`[0-9]{5}`)}
	stBicCode              = &simpleType{name: "stBicCode", valid: matches(`[0-9A-Z]{8,11}`)}
	stMyBankIDVs           = &simpleType{name: "stMyBankIdVs", valid: matches(`[0-9A-Z]{1,15}`)}
	stTipoVersamento       = &simpleType{name: "stTipoVersamento", valid: matches(`[A-Z]{0,4}`)}
	stModelloPagamento     = &simpleType{name: "stModelloPagamento", collapse: true, valid: oneOf("", "0", "1", "2", "4")}
	stZeroUno              = &simpleType{name: "stZeroUno", collapse: true, valid: oneOf("0", "1")}
	stZeroUnoOrDefault     = &simpleType{name: "stZeroUno", collapse: true, valid: oneOf("", "0", "1")}
	stZero                 = &simpleType{name: "stZero", collapse: true, valid: oneOf("0")}
	stUno                  = &simpleType{name: "stUno", collapse: true, valid: oneOf("1")}
	stPriorita             = &simpleType{name: "int", collapse: true, valid: func(s string) bool { return s == "" || isInt(s) }}
	stCodiceLingua         = &simpleType{name: "stCodiceLingua", valid: oneOf("", "IT", "EN", "DE", "FR", "SL")}
	stTipoCanale           = &simpleType{name: "stTipoCanaleServizio", collapse: true, valid: oneOf("0", "1", "2", "3", "4")}
	stPlatea               = &simpleType{name: "stPlateaErogazioneServizio", collapse: true, valid: oneOf("0", "1", "2")}
	stURL                  = text("anyURI", 0, 255)
	stText140OrDefault     = text("stText140", 0, 140)

	listaConvenzioni = sequence{many("codiceConvenzione", xsdString, 1, unbounded)}

	fasciaCostoServizio = sequence{
		one("importoMassimoFascia", stAmountNotZero),
		one("costoFisso", stAmount),
		one("valoreCommissione", stAmount),
		opt("listaConvenzioniCosti", listaConvenzioni),
	}
	costiServizio = sequence{
		one("tipoCostoTransazione", stUno),
		one("tipoCommissione", stZero),
		opt("tipoCanaleServizio", stTipoCanale),
		opt("plateaErogazioneServizio", stPlatea),
		one("listaFasceCostoServizio", sequence{many("fasciaCostoServizio", fasciaCostoServizio, 1, unbounded)}),
		opt("costoConvenzione", stAmount),
	}
	informazioniServizio = sequence{
		one("codiceLingua", stCodiceLingua),
		opt("descrizioneServizio", stText140OrDefault),
		one("disponibilitaServizio", stText140OrDefault),
		opt("limitazioniServizio", stText140),
		opt("urlInformazioniCanale", stURL),
	}
	informativaDetail = sequence{
		one("identificativoIntermediario", stText35),
		one("identificativoCanale", stText35),
		one("tipoVersamento", stTipoVersamento),
		one("modelloPagamento", stModelloPagamento),
		one("priorita", stPriorita),
		one("canaleApp", stZeroUnoOrDefault),
		opt("servizioAlleImprese", stZeroUno),
		opt("identificazioneServizio", sequence{one("nomeServizio", stText35), one("logoServizio", xsdBase64Binary)}),
		one("listaInformazioniServizio", sequence{many("informazioniServizio", informazioniServizio, 1, unbounded)}),
		opt("listaParoleChiave", sequence{many("paroleChiave", xsdString, 1, 5)}),
		one("costiServizio", costiServizio),
		opt("listaConvenzioni", listaConvenzioni),
	}
	informativaMaster = sequence{
		one("dataPubblicazione", xsdDateTime),
		one("dataInizioValidita", xsdDateTime),
		one("urlInformazioniPSP", stURL),
		opt("urlInformativaPSP", stURL),
		opt("urlConvenzioniPSP", stURL),
		one("stornoPagamento", stZeroUno),
		one("marcaBolloDigitale", stZeroUno),
		one("logoPSP", xsdBase64Binary),
	}
	informativaPSP = sequence{
		one("identificativoFlusso", stIdentificativoFlusso),
		one("identificativoPSP", stIdentificativoPSP),
		one("ragioneSociale", stText70),
		opt("codiceABI", stAbiCode),
		opt("codiceBIC", stBicCode),
		opt("mybankIDVS", stMyBankIDVs),
		one("informativaMaster", informativaMaster),
		one("listaInformativaDetail", sequence{many("informativaDetail", informativaDetail, 1, unbounded)}),
	}
	listaInformativePSP = sequence{many("informativaPSP", informativaPSP, 0, unbounded)}
)

// MaxPSPList is how large a list may be. Those of the node are some megabytes,
// most of them logos.
const MaxPSPList = 32 << 20

// ReadPSPList reads a listaInformativePSP, in no namespace. The error is a
// *soap.ParseError or a *SchemaError.
func ReadPSPList(data []byte) ([]PSPListing, error) {
	root, err := soap.ReadLargeDocument(data, MaxPSPList)
	if err != nil {
		return nil, err
	}
	if root.Tag != "listaInformativePSP" || root.NamespaceURI() != "" {
		return nil, &SchemaError{Path: "listaInformativePSP", Rule: "not the root of the document, or in a namespace"}
	}
	if err := validate(root, listaInformativePSP); err != nil {
		return nil, err
	}
	var list []PSPListing
	for _, el := range root.SelectElements("informativaPSP") {
		l := PSPListing{PSP: value(el, "identificativoPSP"), Name: value(el, "ragioneSociale")}
		for _, detail := range el.SelectElement("listaInformativaDetail").SelectElements("informativaDetail") {
			l.Services = append(l.Services, readPSPService(detail))
		}
		list = append(list, l)
	}
	return list, nil
}

func readPSPService(el *etree.Element) PSPService {
	s := PSPService{
		Channel: value(el, "identificativoCanale"),
		Method:  cmp.Or(value(el, "tipoVersamento"), "PO"), // the schema's defaults
		Model:   cmp.Or(token(el, "modelloPagamento"), "4"),
	}
	for _, band := range el.SelectElement("costiServizio").SelectElement("listaFasceCostoServizio").SelectElements("fasciaCostoServizio") {
		s.Bands = append(s.Bands, FeeBand{
			UpTo: cents(band, "importoMassimoFascia"), Fee: cents(band, "costoFisso"), Commission: cents(band, "valoreCommissione"),
			Convention: band.SelectElement("listaConvenzioniCosti") != nil,
		})
	}
	return s
}
