// SPDX-License-Identifier: Apache-2.0

package pagopa

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/soap"
)

// pspList is a list of one PSP with one service; each old is replaced by the new
// that follows it.
func pspList(oldnew ...string) []byte {
	return []byte(strings.NewReplacer(oldnew...).Replace(`<?xml version="1.0" encoding="UTF-8"?>
<listaInformativePSP><informativaPSP>
<identificativoFlusso>ABI00000_23-11-2026</identificativoFlusso>
<identificativoPSP>ABI00000</identificativoPSP>
<ragioneSociale>Banca di Prova</ragioneSociale>
<informativaMaster><dataPubblicazione>2026-11-23T00:00:00</dataPubblicazione><dataInizioValidita>2026-11-24T00:00:00</dataInizioValidita>` +
		`<urlInformazioniPSP>https://psp.example</urlInformazioniPSP><stornoPagamento>0</stornoPagamento><marcaBolloDigitale>0</marcaBolloDigitale><logoPSP>aVZC</logoPSP></informativaMaster>
<listaInformativaDetail><informativaDetail>
<identificativoIntermediario>97735020584</identificativoIntermediario><identificativoCanale>97735020584_01</identificativoCanale>
<tipoVersamento>CP</tipoVersamento><modelloPagamento>1</modelloPagamento><priorita>0</priorita><canaleApp>0</canaleApp>
<listaInformazioniServizio><informazioniServizio><codiceLingua>IT</codiceLingua><disponibilitaServizio>24/7/7</disponibilitaServizio></informazioniServizio></listaInformazioniServizio>
<costiServizio><tipoCostoTransazione>1</tipoCostoTransazione><tipoCommissione>0</tipoCommissione><listaFasceCostoServizio>` +
		`<fasciaCostoServizio><importoMassimoFascia>100.00</importoMassimoFascia><costoFisso>1.00</costoFisso><valoreCommissione>0.00</valoreCommissione></fasciaCostoServizio>` +
		`</listaFasceCostoServizio></costiServizio>
</informativaDetail></listaInformativaDetail>
</informativaPSP></listaInformativePSP>
`))
}

const oneBand = `<fasciaCostoServizio><importoMassimoFascia>100.00</importoMassimoFascia><costoFisso>1.00</costoFisso><valoreCommissione>0.00</valoreCommissione></fasciaCostoServizio>`

// pspListCases are lists and whether they are right, in the order of the schema.
var pspListCases = map[string]struct {
	list []byte
	bad  string // the path of the mistake; empty: none
}{
	"as it is":              {pspList(), ""},
	"nobody":                {[]byte("<listaInformativePSP/>"), ""},
	"defaults":              {pspList("<tipoVersamento>CP</tipoVersamento>", "<tipoVersamento/>", ">1</modelloPagamento>", "></modelloPagamento>", "<priorita>0</priorita>", "<priorita/>", "<codiceLingua>IT<", "<codiceLingua><"), ""},
	"all that is optional":  {pspList("</ragioneSociale>", "</ragioneSociale><codiceABI>00000</codiceABI><codiceBIC>ABCDEFGH</codiceBIC><mybankIDVS>1</mybankIDVS>", "</canaleApp>", "</canaleApp><servizioAlleImprese>1</servizioAlleImprese>", "</costiServizio>", "</costiServizio><listaConvenzioni><codiceConvenzione>x</codiceConvenzione></listaConvenzioni>"), ""},
	"another root":          {[]byte("<informativePSP/>"), "listaInformativePSP"},
	"in a namespace":        {pspList("<listaInformativePSP>", `<listaInformativePSP xmlns="urn:x">`), "listaInformativePSP"},
	"PSP in a namespace":    {pspList("<identificativoPSP>", `<identificativoPSP xmlns="urn:x">`), "listaInformativePSP/informativaPSP[1]/identificativoPSP"},
	"small letters":         {pspList("<identificativoPSP>ABI", "<identificativoPSP>abi"), "listaInformativePSP/informativaPSP[1]/identificativoPSP"},
	"no name":               {pspList("<ragioneSociale>Banca di Prova</ragioneSociale>", ""), "listaInformativePSP/informativaPSP[1]/ragioneSociale"},
	"name too long":         {pspList("Banca di Prova", strings.Repeat("è", 71)), "listaInformativePSP/informativaPSP[1]/ragioneSociale"},
	"unknown element":       {pspList("</ragioneSociale>", "</ragioneSociale><x/>"), "listaInformativePSP/informativaPSP[1]/informativaMaster"},
	"two ids":               {pspList("</identificativoPSP>", "</identificativoPSP><identificativoPSP>ABI00001</identificativoPSP>"), "listaInformativePSP/informativaPSP[1]/ragioneSociale"},
	"one cent too much":     {pspList("100.00", "1000000000.00"), bandPath + "importoMassimoFascia"},
	"band up to nothing":    {pspList("100.00", "0.00"), bandPath + "importoMassimoFascia"},
	"comma":                 {pspList("<costoFisso>1.00", "<costoFisso>1,00"), bandPath + "costoFisso"},
	"negative fee":          {pspList("<costoFisso>1.00", "<costoFisso>-1.00"), bandPath + "costoFisso"},
	"no band":               {pspList(oneBand, ""), strings.TrimSuffix(bandPath, "[1]/")},
	"commission by percent": {pspList("<tipoCommissione>0", "<tipoCommissione>1"), "listaInformativePSP/informativaPSP[1]/listaInformativaDetail/informativaDetail[1]/costiServizio/tipoCommissione"},
}

const bandPath = "listaInformativePSP/informativaPSP[1]/listaInformativaDetail/informativaDetail[1]/costiServizio/listaFasceCostoServizio/fasciaCostoServizio[1]/"

func TestReadPSPList(t *testing.T) {
	t.Parallel()
	for name, c := range pspListCases {
		_, err := ReadPSPList(c.list)
		if c.bad == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if bad := (*SchemaError)(nil); !errors.As(err, &bad) || bad.Path != c.bad {
			t.Errorf("%s: %v, want a mistake at %s", name, err, c.bad)
		}
	}
	for name, text := range map[string]string{
		"empty": "", "no XML": "a,b", "cut": string(pspList()[:900]), "document type": "<!DOCTYPE a><listaInformativePSP/>",
		"entity": string(pspList("Banca di Prova", "&e;")), "too large": string(pspList("Banca di Prova", strings.Repeat(" ", MaxPSPList))),
	} {
		if _, err := ReadPSPList([]byte(text)); !errors.As(err, new(*soap.ParseError)) {
			t.Errorf("%s: %v, want a ParseError", name, err)
		}
	}
	got, err := ReadPSPList(pspList("<tipoVersamento>CP</tipoVersamento>", "<tipoVersamento/>", ">1</modelloPagamento>", "></modelloPagamento>",
		"</valoreCommissione></fascia", "</valoreCommissione><listaConvenzioniCosti><codiceConvenzione>x</codiceConvenzione></listaConvenzioniCosti></fascia"))
	want := []PSPListing{{PSP: "ABI00000", Name: "Banca di Prova", Services: []PSPService{
		{Channel: "97735020584_01", Method: "PO", Model: "4", Bands: []FeeBand{{UpTo: 10000, Fee: 100, Convention: true}}},
	}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("with defaults and a convention: %+v, %v; want %+v", got, err, want)
	}
}

// A list of the size of the node's is read, where a message would be refused.
func TestReadPSPListOfThousands(t *testing.T) {
	t.Parallel()
	one := pspList("aVZC", strings.Repeat("aVZC", 1000))
	from, to := bytes.Index(one, []byte("<informativaPSP>")), bytes.LastIndex(one, []byte("</listaInformativePSP>"))
	list := bytes.Join([][]byte{one[:from], bytes.Repeat(one[from:to], 1000), one[to:]}, nil)
	got, err := ReadPSPList(list)
	if err != nil || len(got) != 1000 {
		t.Errorf("%d bytes: %d PSPs, %v", len(list), len(got), err)
	}
}

// What we take and refuse is what xmllint does with the official schema.
func TestPSPListVerdictsAreThoseOfXMLLint(t *testing.T) {
	t.Parallel()
	schema := shared(t, "pagopa-api/xsd-common/CatalogoDatiInformativiPSP.xsd")
	sample, err := os.ReadFile(shared(t, "samples/listaInformativePSP.xml"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ReadPSPList(sample); err != nil || len(got) != 1 || len(got[0].Services) != 3 || got[0].Services[0].Bands[1] != (FeeBand{UpTo: money.Max, Fee: 200}) {
		t.Errorf("the sample: %+v, %v", got, err)
	}
	tool, err := exec.LookPath("xmllint")
	if err != nil {
		unavailable(t, "xmllint is not installed")
	}
	for name, c := range pspListCases {
		file := filepath.Join(t.TempDir(), "list.xml")
		if err := os.WriteFile(file, c.list, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(tool, "--nonet", "--noout", "--schema", schema, file).CombinedOutput()
		if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 3 && exit.ExitCode() != 4) {
			t.Fatalf("xmllint: %v\n%s", err, out)
		}
		if (err == nil) != (c.bad == "") {
			t.Errorf("%s: xmllint says %v, we say %q\n%s", name, err, c.bad, out)
		}
	}
}

func FuzzReadPSPList(f *testing.F) {
	f.Add([]byte("<listaInformativePSP/>"))
	for _, c := range pspListCases {
		f.Add(c.list)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ReadPSPList(data)
		if err != nil {
			if !errors.As(err, new(*soap.ParseError)) && !errors.As(err, new(*SchemaError)) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		for _, l := range list {
			if l.PSP == "" || l.Name == "" || len(l.Services) == 0 {
				t.Errorf("read %s", fmt.Sprintf("%+v", l))
			}
			for _, s := range l.Services {
				if len(s.Bands) == 0 || s.Bands[0].UpTo <= 0 {
					t.Errorf("read %+v", s)
				}
			}
		}
	})
}
