// SPDX-License-Identifier: Apache-2.0

// Package places knows where people can be born, as the last part of a fiscal
// code names it: the towns of Italy, those that are no more included, and the
// countries.
//
// It is for checking what a person writes against the code, never for guessing
// where somebody comes from. A town may have had several names and provinces;
// each of them is right.
//
// The list is of facts published under CC BY 4.0 by the Ministry of the Interior
// (ANPR, archive of towns) and the Revenue Agency, and under CC BY 3.0 by Istat
// (countries), as collected in the npm package
// @marketto/belfiore-connector-embedded 1.2.1; deploy/tools/places.sh makes it anew.
package places

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

//go:embed places.txt
var text string

// abroad is the province of a country.
const abroad = "EE"

// Place is what one cadastral code (codice catastale, or Belfiore) stands for.
type Place struct {
	Code string // one letter and three digits
	// Names and Provinces are those it has now and has had.
	Names, Provinces []string
}

var byCode = sync.OnceValue(func() map[string]Place {
	all := make(map[string]Place, 10_000)
	for line := range strings.Lines(text) {
		code, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ";")
		province, name, ok := strings.Cut(rest, ";")
		if !ok {
			panic("places: a line without a name: " + line)
		}
		p := all[code]
		p.Code = code
		if !slices.Contains(p.Names, name) {
			p.Names = append(p.Names, name)
		}
		if !slices.Contains(p.Provinces, province) {
			p.Provinces = append(p.Provinces, province)
		}
		all[code] = p
	}
	return all
})

// Find is the place with this code.
func Find(code string) (Place, bool) {
	p, ok := byCode()[code]
	return p, ok
}

// Abroad says whether it is a country.
func (p Place) Abroad() bool { return slices.Contains(p.Provinces, abroad) }

// Province is a province of today, or of the days of those who may still pay for
// a pupil.
type Province struct{ Code, Name, Region string }

// Provinces are all of them by name; those outside today's borders have no region.
func Provinces() []Province { return slices.Clone(provinces) }

// Regions are the twenty regions by name.
func Regions() []string {
	var list []string
	for _, p := range provinces {
		if p.Region != "" && !slices.Contains(list, p.Region) {
			list = append(list, p.Region)
		}
	}
	slices.Sort(list)
	return list
}

// Countries are the names of all countries, in Italian, by name.
func Countries() []string {
	var list []string
	for _, p := range byCode() {
		if p.Abroad() {
			list = append(list, p.Names[0])
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

var provinces = func() []Province {
	var list []Province
	for region, all := range map[string]string{
		"Abruzzo":               "CH Chieti,AQ L'Aquila,PE Pescara,TE Teramo",
		"Basilicata":            "MT Matera,PZ Potenza",
		"Calabria":              "CZ Catanzaro,CS Cosenza,KR Crotone,RC Reggio Calabria,VV Vibo Valentia",
		"Campania":              "AV Avellino,BN Benevento,CE Caserta,NA Napoli,SA Salerno",
		"Emilia-Romagna":        "BO Bologna,FE Ferrara,FC Forlì-Cesena,FO Forlì,MO Modena,PR Parma,PC Piacenza,RA Ravenna,RE Reggio Emilia,RN Rimini",
		"Friuli-Venezia Giulia": "GO Gorizia,PN Pordenone,TS Trieste,UD Udine",
		"Lazio":                 "FR Frosinone,LT Latina,RI Rieti,RM Roma,VT Viterbo",
		"Liguria":               "GE Genova,IM Imperia,SP La Spezia,SV Savona",
		"Lombardia":             "BG Bergamo,BS Brescia,CO Como,CR Cremona,LC Lecco,LO Lodi,MN Mantova,MI Milano,MB Monza e della Brianza,PV Pavia,SO Sondrio,VA Varese",
		"Marche":                "AN Ancona,AP Ascoli Piceno,FM Fermo,MC Macerata,PU Pesaro e Urbino,PS Pesaro",
		"Molise":                "CB Campobasso,IS Isernia",
		"Piemonte":              "AL Alessandria,AT Asti,BI Biella,CN Cuneo,NO Novara,TO Torino,VB Verbano-Cusio-Ossola,VC Vercelli",
		"Puglia":                "BA Bari,BT Barletta-Andria-Trani,BR Brindisi,FG Foggia,LE Lecce,TA Taranto",
		"Sardegna":              "CA Cagliari,CI Carbonia-Iglesias,VS Medio Campidano,NU Nuoro,OG Ogliastra,OT Olbia-Tempio,OR Oristano,SS Sassari,SU Sud Sardegna",
		"Sicilia":               "AG Agrigento,CL Caltanissetta,CT Catania,EN Enna,ME Messina,PA Palermo,RG Ragusa,SR Siracusa,TP Trapani",
		"Toscana":               "AR Arezzo,FI Firenze,GR Grosseto,LI Livorno,LU Lucca,MS Massa-Carrara,PI Pisa,PT Pistoia,PO Prato,SI Siena",
		"Trentino-Alto Adige":   "BZ Bolzano,TN Trento",
		"Umbria":                "PG Perugia,TR Terni",
		"Valle d'Aosta":         "AO Aosta",
		"Veneto":                "BL Belluno,PD Padova,RO Rovigo,TV Treviso,VE Venezia,VR Verona,VI Vicenza",
		"":                      "FU Fiume,PL Pola,ZA Zara",
	} {
		for entry := range strings.SplitSeq(all, ",") {
			code, name, _ := strings.Cut(entry, " ")
			list = append(list, Province{code, name, region})
		}
	}
	slices.SortFunc(list, func(a, b Province) int { return strings.Compare(a.Name, b.Name) })
	return list
}()
