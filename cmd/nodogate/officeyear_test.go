// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	openapi_types "github.com/oapi-codegen/runtime/types"
	"github.com/xuri/excelize/v2"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/httpapi/apiclient"
)

// TestOfficeYear is a year of a school's office through the API alone: by a
// client that was generated from the document, over HTTP, at the program itself.
// The families pay at the sandbox, in the portal and at counters.
func TestOfficeYear(t *testing.T) {
	for _, db := range []string{"sqlite", "postgres"} {
		t.Run(db, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			demo, _ := startDemo(t, dir, databaseEnv(t, dir, db)...)
			o := &officeYear{T: t, demo: demo, base: demo.PortalURL, hook: newReceiver(t)}
			o.opensTheSchool()
			o.loadsTheRegistry()
			o.asksForTheTrip()
			o.asksForTheInsurance()
			o.asksForGifts()
			o.asksFromASpreadsheet()
			o.asksOneByOne()
			o.corrects()
			o.hasADelegate()
			o.isPaid()
			o.reminds()
			o.prints()
			o.exports()
			o.closesTheYear()
			o.isNobodyElses()
		})
	}
}

// officeYear is what the office of one school knows.
type officeYear struct {
	*testing.T
	demo demoFile
	base string
	hook *receiver

	admin *desk // the operator's
	desk  *desk // the office's own
	head  *desk // the head's, who approves

	cf                             string
	school                         apiclient.School
	webhook, trip, insurance, gift string // ids
	print, giveURL                 string
	receipt                        string // of what is given back
	refund                         string
	// trips and covers are the notices by pupil: the trip's in the order single
	// option, instalments.
	trips  map[string][]apiclient.Notice
	covers map[string]apiclient.Notice
	paid   map[string]int64 // cents that came, by notice
	carts  []string
}

// child is a line of the registry: a pupil and one payer.
type child struct {
	id, class string
	person
	payer    person
	relation string
}

func born(year, month, day int) time.Time {
	return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
}

func (o *officeYear) roll() []child {
	parent := func(first, last string, year int, female bool) person {
		return person{first, last, born(year, 3, 4), female, "E202"}
	}
	return []child{
		{"a-01", "3B", person{"Maria", "Rossi", born(2014, 5, 12), true, "E202"}, mario, "padre"},
		{"a-01", "3B", person{"Maria", "Rossi", born(2014, 5, 12), true, "E202"}, lucia, "madre"},
		{"a-02", "3B", person{"Nicolò", "D'Angelo", born(2014, 1, 30), false, "E202"}, parent("Anna", "Bassi", 1983, true), "madre"},
		{"a-03", "3B", person{"Giulia", "De Santis", born(2014, 8, 2), true, "E202"}, parent("Paolo", "De Santis", 1979, false), "padre"},
		{"a-04", "3B", person{"Omar", "Fabbri", born(2014, 11, 23), false, "E202"}, parent("Leila", "Haddad", 1988, true), "madre"},
		{"a-05", "3B", person{"Chiara", "Galli", born(2014, 2, 17), true, "E202"}, parent("Marco", "Galli", 1981, false), "tutore"},
		{"a-06", "3B", person{"Tommaso", "Longo", born(2014, 9, 9), false, "E202"}, parent("Rita", "Serra", 1977, true), "madre"},
		{"b-01", "3A", person{"Sofia", "Villa", born(2014, 4, 21), true, "E202"}, parent("Ugo", "Villa", 1976, false), "padre"},
		{"b-02", "3A", person{"Pietro", "Conte", born(2014, 7, 7), false, "E202"}, parent("Elisa", "Monti", 1984, true), "madre"},
		{"s-01", "", person{"Franca", "Orlandi", born(1970, 10, 5), true, "E202"}, person{"Franca", "Orlandi", born(1970, 10, 5), true, "E202"}, "interessata"},
	}
}

// table is the roll as an office has it.
func (o *officeYear) table(of func(child) bool) [][]string {
	rows := [][]string{{"Matricola", "Cognome", "Nome", "Codice Fiscale", "Classe", "Codice pagante", "Cognome genitore", "Nome genitore", "Codice fiscale genitore", "E-mail", "Parentela", "Tipo"}}
	for _, c := range o.roll() {
		if of(c) {
			p, kind := c.payer, "alunno"
			if c.class == "" {
				kind = "personale"
			}
			id := strings.ToLower(strings.ReplaceAll(p.first+"-"+p.last, " ", "-"))
			rows = append(rows, []string{c.id, c.last, c.first, string(c.code()), c.class, "g-" + id, p.last, p.first, string(p.code()), id + "@famiglie.example", c.relation, kind})
		}
	}
	return rows
}

// in is a day some days from now.
func (o *officeYear) in(days int) openapi_types.Date {
	d := gateway.DateIn(time.Now()).AddDays(days)
	return openapi_types.Date{Time: time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC)}
}

func (o *officeYear) opensTheSchool() {
	ctx, t := o.Context(), o.T
	o.admin = newDesk(t, o.base, o.demo.Admin.ID, o.demo.Admin.Secret)
	o.cf = "92001230538"
	school := apiclient.NewSchool{
		FiscalCode: o.cf, Name: "Istituto Comprensivo Follonica 2", Iban: "IT60X0542811101000000123456", SegregationCode: "03",
		MechanographicCode: new("GRIC82500N"), HelpText: new("Segreteria, 0566 000003"),
	}
	made := got(o.admin.CreateSchoolWithResponse(ctx, &apiclient.CreateSchoolParams{IdempotencyKey: o.admin.key()}, school)).is(t, 201)
	if made.Headers201.Location != "/api/v1/schools/"+o.cf {
		t.Errorf("the school is at %q", made.Headers201.Location)
	}
	got(o.admin.CreateSchoolWithResponse(ctx, &apiclient.CreateSchoolParams{IdempotencyKey: o.admin.key()}, school)).is(t, 200)

	// The school wants its campaigns approved by another than who wrote them.
	o.school = *got(o.admin.ChangeSchoolWithResponse(ctx, o.cf, &apiclient.ChangeSchoolParams{IfMatch: &made.Headers201.ETag}, apiclient.SchoolChange{
		CampaignsNeedApproval: new(true), Town: new("Follonica"),
	})).is(t, 200).JSON200

	client := func(name string, scopes ...string) *desk {
		made := got(o.admin.CreateClientWithResponse(ctx, &apiclient.CreateClientParams{IdempotencyKey: o.admin.key()}, apiclient.NewAPIClient{
			Name: name, School: &o.cf, Scopes: &scopes,
		})).is(t, 201).JSON201
		return newDesk(t, o.base, made.ClientID, made.ClientSecret)
	}
	o.desk = client("segreteria", "notices:read", "notices:write", "receipts:read", "carts:write", "registry:read", "registry:write",
		"campaigns:read", "campaigns:write", "refunds:read", "refunds:write", "webhooks:read", "webhooks:write", "exports:read")
	o.head = client("dirigente", "campaigns:read", "campaigns:approve", "refunds:read", "refunds:write", "audit:read")
	got(o.desk.CreateSchoolWithResponse(ctx, &apiclient.CreateSchoolParams{IdempotencyKey: o.desk.key()}, school)).refuses(t, 403, "insufficient_scope")
	got(o.head.ListNoticesWithResponse(ctx, o.cf, nil)).refuses(t, 403, "insufficient_scope")

	hook := got(o.desk.CreateWebhookWithResponse(ctx, o.cf, &apiclient.CreateWebhookParams{IdempotencyKey: o.desk.key()}, apiclient.NewWebhook{
		URL: o.hook.url, Events: []string{"notice.issued", "notice.changed", "notice.paid", "notice.cancelled", "notice.restored", "receipt.recorded", "receipt.anomaly", "refund.changed", "import.finished"},
	})).is(t, 201).JSON201
	o.webhook = hook.ID
	rotated := got(o.desk.RotateWebhookWithResponse(ctx, o.cf, o.webhook, &apiclient.RotateWebhookParams{IdempotencyKey: o.desk.key()})).is(t, 200).JSON200
	if rotated.Secret == hook.Secret || rotated.OldSecretUntil == nil {
		t.Errorf("rotated: %+v", rotated)
	}
	o.hook.trust(hook.Secret) // the old one holds for a day
}

func (o *officeYear) loadsTheRegistry() {
	ctx, t := o.Context(), o.T
	load := func(dry bool, kind string, table []byte) apiclient.RegistryImport {
		t.Helper()
		params := &apiclient.ImportRegistryParams{DryRun: &dry, IdempotencyKey: o.desk.key()}
		return *got(o.desk.ImportRegistryWithBodyWithResponse(ctx, o.cf, params, kind, bytes.NewReader(table))).is(t, 200).JSON200
	}
	const xlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	book := excelize.NewFile()
	for i, row := range o.table(func(c child) bool { return c.class == "3B" }) {
		if err := book.SetSheetRow("Sheet1", fmt.Sprint("A", i+1), &row); err != nil {
			t.Fatal(err)
		}
	}
	var workbook bytes.Buffer
	if err := book.Write(&workbook); err != nil {
		t.Fatal(err)
	}
	if r := load(true, xlsx, workbook.Bytes()); r.Rows != 7 || r.Enrolled != 6 || !r.DryRun {
		t.Errorf("looking at 3B: %+v", r)
	}
	if list := got(o.desk.ListPupilsWithResponse(ctx, o.cf, nil)).is(t, 200).JSON200; len(list.Items) != 0 {
		t.Errorf("looking enrolled %d", len(list.Items))
	}
	if r := load(false, xlsx, workbook.Bytes()); r.Rows != 7 || r.Enrolled != 6 || r.Linked != 7 || r.DryRun {
		t.Errorf("3B: %+v", r)
	}
	var text bytes.Buffer
	text.WriteString("\ufeff") // as a spreadsheet program saves it
	w := csv.NewWriter(&text)
	w.Comma = ';'
	if err := w.WriteAll(o.table(func(c child) bool { return c.class != "3B" })); err != nil {
		t.Fatal(err)
	}
	if r := load(false, "text/csv", text.Bytes()); r.Rows != 3 || r.Enrolled != 3 || r.Linked != 3 {
		t.Errorf("the others: %+v", r)
	}
	if r := load(false, xlsx, workbook.Bytes()); r.Unchanged != 6 || r.Enrolled+r.Changed+r.Linked != 0 {
		t.Errorf("3B once more: %+v", r)
	}
	broken := bytes.Replace(text.Bytes(), []byte(";interessata"), []byte(";cugina"), 1)
	params := &apiclient.ImportRegistryParams{IdempotencyKey: o.desk.key()}
	got(o.desk.ImportRegistryWithBodyWithResponse(ctx, o.cf, params, "text/csv", bytes.NewReader(broken))).refuses(t, 400, "invalid_request")

	class := got(o.desk.ListPupilsWithResponse(ctx, o.cf, &apiclient.ListPupilsParams{Class: new("3B")})).is(t, 200).JSON200.Items
	if len(class) != 6 {
		t.Fatalf("3B has %d pupils", len(class))
	}
	staff := got(o.desk.ListPupilsWithResponse(ctx, o.cf, &apiclient.ListPupilsParams{Kind: new(apiclient.ListPupilsParamsKindStaff)})).is(t, 200).JSON200.Items
	if len(staff) != 1 || staff[0].ID != "s-01" || staff[0].Kind != apiclient.PupilKindStaff {
		t.Errorf("the staff is %+v", staff)
	}
	maria := got(o.desk.SearchPupilsWithResponse(ctx, o.cf, nil, apiclient.PupilSearch{FiscalCode: string(o.roll()[0].code())})).is(t, 200).JSON200.Items
	if len(maria) != 1 || maria[0].ID != "a-01" || len(maria[0].Payers) != 2 {
		t.Errorf("Maria is %+v", maria)
	}
}

// notices lists all notices that fit.
func (o *officeYear) notices(filter apiclient.ListNoticesParams) (all []apiclient.Notice) {
	o.Helper()
	filter.Limit = new(7) // several pages
	for {
		page := got(o.desk.ListNoticesWithResponse(o.Context(), o.cf, &filter)).is(o.T, 200).JSON200
		all = append(all, page.Items...)
		if page.NextCursor == nil {
			return all
		}
		filter.Cursor = page.NextCursor
	}
}

func (o *officeYear) notice(number string) apiclient.Notice {
	o.Helper()
	return *got(o.desk.GetNoticeWithResponse(o.Context(), o.cf, number)).is(o.T, 200).JSON200
}

// pupil is the id of whom a notice asks.
func (o *officeYear) pupil(n apiclient.Notice) string {
	for _, c := range o.roll() {
		if string(c.code()) == n.Debtor.FiscalCode {
			return c.id
		}
	}
	return "a-07"
}

func (o *officeYear) campaign(id string) apiclient.Campaign {
	o.Helper()
	return *got(o.desk.GetCampaignWithResponse(o.Context(), o.cf, id)).is(o.T, 200).JSON200
}

func (o *officeYear) draft(c apiclient.NewCampaign) (id string) {
	o.Helper()
	made := got(o.desk.CreateCampaignWithResponse(o.Context(), o.cf, &apiclient.CreateCampaignParams{IdempotencyKey: o.desk.key()}, c)).is(o.T, 201).JSON201
	if made.State != "draft" || made.Totals.Notices != 0 {
		o.Errorf("a draft is %+v", made)
	}
	return made.ID
}

func (o *officeYear) approve(by *desk, id string) answer[*apiclient.ApproveCampaignResponse] {
	o.Helper()
	return got(by.ApproveCampaignWithResponse(o.Context(), o.cf, id, &apiclient.ApproveCampaignParams{IdempotencyKey: by.key()}))
}

func (o *officeYear) publish(id string) answer[*apiclient.PublishCampaignResponse] {
	o.Helper()
	return got(o.desk.PublishCampaignWithResponse(o.Context(), o.cf, id, &apiclient.PublishCampaignParams{IdempotencyKey: o.desk.key()}))
}

// wantsApproval is the school's option that its campaigns be approved.
func (o *officeYear) wantsApproval(is bool) {
	o.Helper()
	s := got(o.admin.ChangeSchoolWithResponse(o.Context(), o.cf, nil, apiclient.SchoolChange{CampaignsNeedApproval: &is})).is(o.T, 200).JSON200
	if s.CampaignsNeedApproval != is {
		o.Errorf("the school's option is %t", !is)
	}
}

func (o *officeYear) asksForTheTrip() {
	ctx, t := o.Context(), o.T
	o.trip = o.draft(apiclient.NewCampaign{
		Kind: "assigned", Title: "Viaggio a Siena, 3B", Description: "Viaggio di istruzione a Siena", AmountCents: 12000, DueDate: o.in(60),
		Instalments: &[]apiclient.CampaignInstalment{{AmountCents: 4000, DueDate: o.in(30)}, {AmountCents: 8000, DueDate: o.in(60)}},
		Recipients:  &apiclient.CampaignRecipients{Classes: &[]string{"3B"}}, Deduction: new(apiclient.NewCampaignDeductionEBis),
	})
	o.wantsApproval(true)
	o.publish(o.trip).refuses(t, 409, "campaign_waiting")
	o.publish(o.trip).refuses(t, 409, "campaign_waiting")
	o.approve(o.desk, o.trip).refuses(t, 403, "insufficient_scope")
	if c := o.approve(o.head, o.trip).is(t, 200).JSON200; c.State != apiclient.CampaignStateApproved || *c.ApprovedBy == "" {
		t.Errorf("approved: %+v", c)
	}
	if c := o.publish(o.trip).is(t, 200).JSON200; c.State != "published" || c.Totals.Notices != 12 || c.Totals.IssuedCents != 6*12000 {
		t.Errorf("published: %+v", c)
	}
	// A pupil comes later.
	late := person{"Elia", "Zanetti", born(2014, 12, 1), false, "E202"}
	got(o.desk.PutPupilWithResponse(ctx, o.cf, "a-07", nil, apiclient.NewPupil{
		FiscalCode: string(late.code()), FirstName: late.first, LastName: late.last, Class: new("3B"),
	})).is(t, 201)
	got(o.desk.PutPayerWithResponse(ctx, o.cf, "a-07", "g-zanetti", nil, apiclient.NewRegistryPayer{
		FiscalCode: string(person{"Irene", "Zanetti", born(1985, 3, 4), true, "E202"}.code()), FirstName: "Irene", LastName: "Zanetti",
		Email: new("irene.zanetti@famiglie.example"), Relation: apiclient.NewRegistryPayerRelationMother,
	})).is(t, 201)
	if c := o.publish(o.trip).is(t, 200).JSON200; c.Totals.Notices != 14 || c.Totals.IssuedCents != 7*12000 {
		t.Errorf("published again: %+v", c)
	}
	o.trips = map[string][]apiclient.Notice{}
	for _, n := range o.notices(apiclient.ListNoticesParams{Campaign: &o.trip}) {
		if n.Plan == nil || n.Plan.Of != 2 || n.Status != "open" || *n.Deduction != "e-bis" {
			t.Fatalf("a notice of the trip: %+v", n)
		}
		plan := o.trips[o.pupil(n)]
		if plan == nil {
			plan = make([]apiclient.Notice, 3)
		}
		at, want := 0, int64(12000)
		if n.Plan.Instalment != nil {
			at, want = *n.Plan.Instalment, []int64{0, 4000, 8000}[*n.Plan.Instalment]
		}
		if int64(n.AmountCents) != want {
			t.Errorf("option %d asks for %d, want %d", at, n.AmountCents, want)
		}
		plan[at] = n
		o.trips[o.pupil(n)] = plan
	}
	if len(o.trips) != 7 {
		t.Fatalf("the trip asks %d pupils", len(o.trips))
	}
}

func (o *officeYear) asksForTheInsurance() {
	o.insurance = o.draft(apiclient.NewCampaign{
		Kind: "assigned", Title: "Assicurazione", Description: "Assicurazione integrativa", AmountCents: 850, DueDate: o.in(20),
		Recipients: &apiclient.CampaignRecipients{All: new(true), Staff: new(true)}, Deduction: new(apiclient.NewCampaignDeductionEBis),
	})
	o.approve(o.head, o.insurance).is(o.T, 200)
	if c := o.publish(o.insurance).is(o.T, 200).JSON200; c.Totals.Notices != 10 || c.Totals.IssuedCents != 8500 || c.Progress.Acted != 10 {
		o.Errorf("the insurance: %+v", c)
	}
	// Another day for all of it; the amount is what was approved.
	change := func(c apiclient.CampaignChange) answer[*apiclient.ChangeCampaignResponse] {
		return got(o.desk.ChangeCampaignWithResponse(o.Context(), o.cf, o.insurance, nil, c))
	}
	change(apiclient.CampaignChange{AmountCents: new(int64(900))}).refuses(o.T, 409, "campaign_published")
	if c := change(apiclient.CampaignChange{DueDate: new(o.in(22))}).is(o.T, 200).JSON200; c.Progress.State != "done" || c.Progress.Acted != 10 {
		o.Errorf("the insurance on another day: %+v", c.Progress)
	}
	o.covers = map[string]apiclient.Notice{}
	for _, n := range o.notices(apiclient.ListNoticesParams{Campaign: &o.insurance}) {
		if n.DueDate.String() != o.in(22).String() {
			o.Errorf("an insurance is due on %s", n.DueDate)
		}
		o.covers[o.pupil(n)] = n
	}
	if len(o.covers) != 10 {
		o.Fatalf("the insurance asks %d", len(o.covers))
	}
}

func (o *officeYear) asksForGifts() {
	t := o.T
	o.gift = o.draft(apiclient.NewCampaign{
		Kind: "voluntary", Title: "Laboratori", Description: "Contributo volontario per i laboratori", AmountCents: 2000, MinAmountCents: new(int64(500)), FreeAmount: new(true),
		DueDate: o.in(200), Deduction: new(apiclient.NewCampaignDeductionIOcties),
	})
	if address := o.campaign(o.gift).GiveURL; address != nil {
		t.Errorf("a draft takes gifts at %s", *address)
	}
	o.approve(o.head, o.gift).is(t, 200)
	o.giveURL = *o.publish(o.gift).is(t, 200).JSON200.GiveURL
	o.paid = map[string]int64{}
	v := newVisitor(t, o.base)
	v.allow(http.StatusBadRequest).submit(strings.TrimPrefix(o.giveURL, o.base), "Aggiungi al carrello", url.Values{"nome": {"Nonna Pina"}, "importo": {"4,99"}})
	if !strings.Contains(v.text(), "L’importo minimo è € 5,00") {
		t.Errorf("less than the least is taken: %s", v.text())
	}
	v.allow(0).press("Aggiungi al carrello", url.Values{"nome": {"Nonna Pina"}, "importo": {"25,50"}})
	o.payInPortal(v)
	gifts := o.notices(apiclient.ListNoticesParams{Campaign: &o.gift})
	if len(gifts) != 1 || gifts[0].AmountCents != 2550 || gifts[0].Debtor.FullName != "Nonna Pina" {
		t.Fatalf("the gifts are %+v", gifts)
	}
	o.paid[gifts[0].Number] = 2550
}

// payInPortal pays what is in the cart, as a guest.
func (o *officeYear) payInPortal(v *visitor) {
	o.Helper()
	v.submit("/carrello/pagamento", "Paga", url.Values{"email": {"nonna@famiglie.example"}})
	if !strings.HasPrefix(v.at.String(), o.demo.SandboxURL) {
		o.Fatalf("Paga leads to %s\n%s", v.at, v.text())
	}
	if err := press(o.Context(), v.at.String(), "Paga"); err != nil {
		o.Fatal(err)
	}
}

// asksFromASpreadsheet issues the canteen's notices; one line is wrong.
func (o *officeYear) asksFromASpreadsheet() {
	ctx, t := o.Context(), o.T
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	w.Comma = ';'
	rows := [][]string{{"Riferimento", "Codice fiscale", "Cognome e nome", "Classe", "Causale", "Importo", "Scadenza"}}
	for i, c := range o.roll()[7:9] {
		day := o.in(15).Format("02/01/2006")
		rows = append(rows, []string{fmt.Sprint("mensa-", i), string(c.code()), c.last + " " + c.first, c.class, "Mensa di novembre", "42,50", day})
	}
	rows = append(rows, []string{"mensa-9", "RSSMRA10A41H501A", "Rossi Maria", "3B", "Mensa di novembre", "42,50", o.in(15).Format("02/01/2006")})
	if err := w.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	load := func(dry bool) apiclient.Import {
		t.Helper()
		params := &apiclient.CreateImportParams{DryRun: &dry, OnError: new(apiclient.CreateImportParamsOnErrorSkip), IdempotencyKey: o.desk.key()}
		id := got(o.desk.CreateImportWithBodyWithResponse(ctx, o.cf, params, "text/csv", bytes.NewReader(text.Bytes()))).is(t, 202).JSON202.ID
		o.hook.waitFor(t, "an import ended", func(e told) bool { return e.Type == "import.finished" && e.Data.Import == id })
		return *got(o.desk.GetImportWithResponse(ctx, o.cf, id)).is(t, 200).JSON200
	}
	look := load(true)
	if look.State != apiclient.ImportStateDone || look.Rows != 3 || look.Accepted != 2 || look.Rejected != 1 || look.Issued != 0 || look.Columns["amount"] != "Importo" {
		t.Errorf("looking at the canteen's: %+v", look)
	}
	wrong := got(o.desk.ListImportErrorsWithResponse(ctx, o.cf, look.ID, nil)).is(t, 200).JSON200.Items
	if len(wrong) != 1 || wrong[0].Row != 4 || *wrong[0].Column != "Codice fiscale" || wrong[0].Message == "" {
		t.Errorf("what is wrong: %+v", wrong)
	}
	if done := load(false); done.Issued != 2 || done.Rejected != 1 {
		t.Errorf("the canteen's: %+v", done)
	}
	if list := o.notices(apiclient.ListNoticesParams{Q: new("mensa-1")}); len(list) != 1 || list[0].AmountCents != 4250 {
		t.Errorf("mensa-1 is %+v", list)
	}
	found := got(o.desk.SearchNoticesWithResponse(ctx, o.cf, nil, apiclient.NoticeSearch{Debtor: string(o.roll()[7].code())})).is(t, 200).JSON200.Items
	if len(found) != 2 { // and the insurance
		t.Errorf("a debtor's notices are %+v", found)
	}
}

// asksOneByOne issues notices by themselves, as a program of the office does.
func (o *officeYear) asksOneByOne() {
	ctx, t := o.Context(), o.T
	badge := apiclient.NewNotice{
		Debtor:      apiclient.NewDebtor{FiscalCode: string(o.roll()[2].code()), FullName: "Nicolò D'Angelo", Class: new("3B")},
		Description: "Badge smarrito", AmountCents: 300, DueDate: o.in(40), ExternalID: new("badge-1"), Status: new(apiclient.NewNoticeStatusDraft),
	}
	issue := func(n apiclient.NewNotice) answer[*apiclient.IssueNoticeResponse] {
		return got(o.desk.IssueNoticeWithResponse(ctx, o.cf, &apiclient.IssueNoticeParams{IdempotencyKey: o.desk.key()}, n))
	}
	made := issue(badge).is(t, 201)
	n := made.JSON201
	if n.Status != apiclient.NoticeStatusDraft || made.Headers201.Location != "/api/v1/schools/"+o.cf+"/notices/"+n.Number {
		t.Errorf("drafted at %s: %+v", made.Headers201.Location, n)
	}
	o.cart(apiclient.MethodCard, n.Number).refuses(t, 409, "notice_draft")
	open := got(o.desk.ChangeNoticeWithResponse(ctx, o.cf, n.Number, nil, apiclient.NoticeChange{Status: new(apiclient.NoticeChangeStatusOpen)})).is(t, 200).JSON200
	if open.Status != apiclient.NoticeStatusOpen {
		t.Errorf("published: %+v", open)
	}
	if again := issue(badge).is(t, 200).JSON200; again.Number != n.Number {
		t.Errorf("the same again is %s, want %s", again.Number, n.Number)
	}
	badge.AmountCents = 301
	issue(badge).refuses(t, 409, "external_id_exists")

	batch := func(list ...apiclient.NewNotice) answer[*apiclient.IssueBatchResponse] {
		return got(o.desk.IssueBatchWithResponse(ctx, o.cf, &apiclient.IssueBatchParams{IdempotencyKey: o.desk.key()}, apiclient.NewNoticeBatch{Notices: list}))
	}
	one, two := badge, badge
	one.ExternalID, two.ExternalID = new("badge-2"), new("badge-3")
	two.Debtor.FiscalCode = "DNGNCL14A30E202A"
	bad := batch(one, two)
	bad.refuses(t, 400, "invalid_request")
	if p := bad.r.ApplicationProblemJSONDefault; len(*p.Errors) != 1 || (*p.Errors)[0].Field != "notices[1].debtor.fiscal_code" {
		t.Errorf("the batch is wrong in %+v", p.Errors)
	}
	if len(o.notices(apiclient.ListNoticesParams{ExternalID: new("badge-2")})) != 0 {
		t.Error("half a batch was issued")
	}
	two.Debtor.FiscalCode = badge.Debtor.FiscalCode
	items := batch(one, two).is(t, 201).JSON201.Items
	if len(items) != 2 {
		t.Errorf("the batch is %+v", items)
	}
	for _, x := range append(items, *open) {
		got(o.desk.CancelNoticeWithResponse(ctx, o.cf, x.Number, &apiclient.CancelNoticeParams{IdempotencyKey: o.desk.key()})).is(t, 200)
	}
	events := got(o.desk.ListEventsWithResponse(ctx, o.cf, n.Number, nil)).is(t, 200).JSON200.Items
	if len(events) < 3 || events[0].Type != "notice.cancelled" || !strings.Contains(*events[0].Actor, o.desk.id) {
		t.Errorf("the badge's history is %+v", events)
	}
}

func (o *officeYear) corrects() {
	ctx, t := o.Context(), o.T
	n := o.covers["a-05"].Number
	tag := got(o.desk.GetNoticeWithResponse(ctx, o.cf, n)).is(t, 200).Headers200.ETag
	lower := func(cents int64) answer[*apiclient.ChangeNoticeResponse] {
		return got(o.desk.ChangeNoticeWithResponse(ctx, o.cf, n, &apiclient.ChangeNoticeParams{IfMatch: &tag}, apiclient.NoticeChange{AmountCents: &cents}))
	}
	changed := lower(500).is(t, 200)
	if changed.JSON200.AmountCents != 500 || changed.JSON200.Transfers[0].AmountCents != 500 || changed.Headers200.ETag == tag {
		t.Errorf("changed: %+v", changed.JSON200)
	}
	lower(1).refuses(t, 412, "version_mismatch")
	o.covers["a-05"] = *changed.JSON200

	// Taken back, and opened again with another day.
	n = o.covers["a-06"].Number
	cancel := func(tag *string) answer[*apiclient.CancelNoticeResponse] {
		return got(o.desk.CancelNoticeWithResponse(ctx, o.cf, n, &apiclient.CancelNoticeParams{IfMatch: tag, IdempotencyKey: o.desk.key()}))
	}
	cancel(&tag).is(t, 200) // of all at that time
	cancel(&tag).refuses(t, 412, "version_mismatch")
	if c := o.campaign(o.insurance); c.Totals.Notices != 9 || c.Totals.IssuedCents != 8500-350-850 {
		t.Errorf("the totals with one cancelled: %+v", c.Totals)
	}
	o.cart("card", n).refuses(t, 409, "notice_cancelled")
	restored := got(o.desk.RestoreNoticeWithResponse(ctx, o.cf, n, &apiclient.RestoreNoticeParams{IdempotencyKey: o.desk.key()}, apiclient.NoticeRestore{DueDate: new(o.in(25))})).is(t, 200).JSON200
	if restored.Status != "open" || restored.Number != n || restored.DueDate.String() != o.in(25).String() {
		t.Errorf("restored: %+v", restored)
	}
	// A plan is taken back with its single option and its instalments.
	for _, x := range o.trips["a-07"] {
		got(o.desk.CancelNoticeWithResponse(ctx, o.cf, x.Number, &apiclient.CancelNoticeParams{IdempotencyKey: o.desk.key()})).is(t, 200)
	}
	if c := o.campaign(o.trip); c.Totals.Notices != 12 || c.Totals.IssuedCents != 6*12000 {
		t.Errorf("the trip without a-07: %+v", c.Totals)
	}
}

func (o *officeYear) hasADelegate() {
	ctx, t := o.Context(), o.T
	const id = "g-lucia-verdi"
	got(o.desk.PutDelegateWithResponse(ctx, o.cf, "3B", id, apiclient.NewDelegate{
		FiscalCode: string(lucia.code()), FirstName: lucia.first, LastName: lucia.last, Email: new(mailOf(lucia)),
	})).is(t, 201)
	list := got(o.desk.ListDelegatesWithResponse(ctx, o.cf, "3B")).is(t, 200).JSON200.Items
	if len(list) != 1 || list[0].Delegate.ID != id || !strings.Contains(list[0].Author, o.desk.id) {
		t.Errorf("the delegates are %+v", list)
	}
	v := newVisitor(t, o.base)
	v.submit("/accesso", "Accedi", url.Values{"username": {"lucia.verdi"}, "password": {demoPassword}})
	v.do("GET", o.base+"/classe", nil)
	for _, want := range []string{o.school.Name, "Classe 3B", "Viaggio di istruzione a Siena", "Omar Fabbri", "€ 120,00", "€ 5,00"} {
		if !strings.Contains(v.text(), want) {
			t.Errorf("the delegate does not read %q:\n%s", want, v.text())
		}
	}
	for _, c := range o.roll() {
		if strings.Contains(v.body, string(c.code())) || c.class == "3A" && strings.Contains(v.body, c.last) {
			t.Errorf("the delegate reads of %s", c.id)
		}
	}
	for _, plan := range o.trips {
		if strings.Contains(v.body, plan[0].Number) {
			t.Error("the delegate reads a notice number")
		}
	}
	got(o.desk.DeleteDelegateWithResponse(ctx, o.cf, "3B", id)).is(t, 204)
	if v.do("GET", o.base+"/classe", nil); strings.Contains(v.text(), "Fabbri") {
		t.Errorf("a delegate that was:\n%s", v.text())
	}
}

// cart begins a payment of notices, at the best provider.
func (o *officeYear) cart(method apiclient.Method, numbers ...string) answer[*apiclient.CreateCartResponse] {
	o.Helper()
	c := apiclient.NewCart{Method: method, Payer: &apiclient.CartPayer{Email: new("famiglia@famiglie.example")}}
	for _, n := range numbers {
		c.Notices = append(c.Notices, apiclient.NoticeRef{School: o.cf, Number: n})
	}
	return got(o.desk.CreateCartWithResponse(o.Context(), &apiclient.CreateCartParams{IdempotencyKey: o.desk.key()}, c))
}

// pays pays notices on the provider's page.
func (o *officeYear) pays(method apiclient.Method, list ...apiclient.Notice) {
	o.Helper()
	var numbers []string
	var sum int64
	for _, n := range list {
		numbers, sum = append(numbers, n.Number), sum+int64(n.AmountCents)
	}
	c := o.cart(method, numbers...).is(o.T, 201).JSON201
	if c.AmountCents != sum || c.RedirectURL == nil {
		o.Fatalf("the cart is %+v", c)
	}
	if err := press(o.Context(), *c.RedirectURL, "Paga"); err != nil {
		o.Fatal(err)
	}
	for _, n := range list {
		o.paid[n.Number] = int64(n.AmountCents)
	}
	o.carts = append(o.carts, c.ID)
}

func (o *officeYear) isPaid() {
	t := o.T
	atCounter := func(n apiclient.Notice) {
		t.Helper()
		payAtCounter(t, o.base, o.school, n)
		o.paid[n.Number] = int64(n.AmountCents)
	}
	status := func(want string, list ...apiclient.Notice) {
		t.Helper()
		for _, n := range list {
			if s := o.notice(n.Number).Status; string(s) != want {
				t.Errorf("notice of %d cents is %s, want %s", n.AmountCents, s, want)
			}
		}
	}
	offers := *got(o.desk.ListPaymentMethodsWithResponse(o.Context(), &apiclient.ListPaymentMethodsParams{AmountCents: 12000})).is(t, 200).JSON200
	if len(offers) != 3 {
		t.Errorf("the methods are %+v", offers)
	}
	one, two, three := o.trips["a-01"], o.trips["a-02"], o.trips["a-03"]
	// In one go, together with the insurance.
	o.pays(apiclient.MethodCard, one[0], o.covers["a-01"])
	// In instalments: the first here, the second at a counter.
	o.pays(apiclient.MethodAccountDebit, two[1])
	atCounter(two[2])
	atCounter(o.covers["a-02"])
	// Only the first so far, at a counter.
	atCounter(three[1])
	// One that thinks better of it pays nothing.
	refused := o.cart(apiclient.MethodAccountDebit, o.covers["a-04"].Number).is(t, 201).JSON201
	if err := press(o.Context(), *refused.RedirectURL, "Rifiuta"); err != nil {
		t.Fatal(err)
	}
	// The corrected amount.
	o.pays(apiclient.MethodCard, o.covers["a-05"])
	atCounter(o.covers["s-01"])

	for number := range o.paid {
		o.hook.paid(t, number)
		status("paid", apiclient.Notice{Number: number})
	}
	for _, id := range o.carts {
		if c := got(o.desk.GetCartWithResponse(o.Context(), id)).is(t, 200).JSON200; c.State != apiclient.CartStateClosedOk {
			t.Errorf("a paid cart is %s", c.State)
		}
	}
	// The other way of paying is closed.
	status("cancelled", one[1], one[2], two[0], three[0])
	status("open", three[2], o.covers["a-04"])
	got(o.desk.RestoreNoticeWithResponse(o.Context(), o.cf, two[0].Number, &apiclient.RestoreNoticeParams{IdempotencyKey: o.desk.key()}, apiclient.NoticeRestore{})).refuses(t, 409, "plan_paid")
	o.cart(apiclient.MethodCard, o.covers["s-01"].Number).refuses(t, 409, "notice_paid")
	got(o.desk.ChangeNoticeWithResponse(o.Context(), o.cf, o.covers["s-01"].Number, nil, apiclient.NoticeChange{AmountCents: new(int64(1))})).refuses(t, 409, "notice_paid")

	for id, want := range map[string]apiclient.CampaignTotals{
		// a-01's plan counts once, as it was paid; five others twice.
		o.trip:      {Notices: 11, IssuedCents: 6 * 12000, Paid: 4, PaidCents: 12000 + 12000 + 4000},
		o.insurance: {Notices: 10, IssuedCents: 8500 - 350, Paid: 4, PaidCents: 850*3 + 500},
		o.gift:      {Notices: 1, IssuedCents: 2550, Paid: 1, PaidCents: 2550},
	} {
		if c := o.campaign(id); c.Totals != want {
			t.Errorf("%s: totals %+v, want %+v", c.Title, c.Totals, want)
		}
	}
	// What was told, in its order.
	for number, want := range map[string]string{
		o.covers["a-05"].Number:   "issued changed changed receipt.recorded paid",
		o.covers["a-06"].Number:   "issued changed cancelled restored",
		o.trips["a-01"][1].Number: "issued cancelled",
		o.trips["a-03"][1].Number: "issued receipt.recorded paid",
	} {
		for _, word := range strings.Fields(want) {
			o.hook.waitFor(t, number+" "+word, func(e told) bool { return strings.TrimPrefix(e.Type, "notice.") == word && e.Data.Number == number })
		}
		if got := o.hook.history(number); got != want && got != strings.Replace(want, "receipt.recorded paid", "paid receipt.recorded", 1) {
			t.Errorf("was told %q, want %q", got, want)
		}
	}
}

// reminds writes to who has not paid.
func (o *officeYear) reminds() {
	t := o.T
	remind := func(id string) answer[*apiclient.RemindCampaignResponse] {
		return got(o.desk.RemindCampaignWithResponse(o.Context(), o.cf, id, &apiclient.RemindCampaignParams{IdempotencyKey: o.desk.key()}))
	}
	// The rest of a-03's trip, and the first instalments of three.
	if r := remind(o.trip).is(t, 200).JSON200; r.State != "done" || r.Queued != 4 || r.Reasons.Unreachable != 0 {
		t.Errorf("reminded: %+v", r)
	}
	if r := remind(o.trip).is(t, 200).JSON200; r.Queued != 0 || r.Reasons.RemindedToday != 4 {
		t.Errorf("reminded again: %+v", r)
	}
	remind(o.gift).refuses(t, 409, "campaign_voluntary")
}

func (o *officeYear) prints() {
	ctx, t := o.Context(), o.T
	begin := func(p apiclient.NewPrint) string {
		t.Helper()
		return got(o.desk.CreatePrintWithResponse(ctx, o.cf, &apiclient.CreatePrintParams{IdempotencyKey: o.desk.key()}, p)).is(t, 202).JSON202.ID
	}
	class := begin(apiclient.NewPrint{Class: new("3B")})
	covers := begin(apiclient.NewPrint{Campaign: &o.insurance, Format: new(apiclient.NewPrintFormatZip), Language: new(apiclient.NewPrintLanguageDe)})
	o.print = class
	o.givesBack() // meanwhile
	end := func(id string) (apiclient.Print, []byte) {
		t.Helper()
		for over := time.After(time.Minute); ; {
			now := got(o.desk.GetPrintWithResponse(ctx, o.cf, id)).is(t, 200).JSON200
			switch now.State {
			case apiclient.PrintStateDone:
				return *now, got(o.desk.GetPrintFileWithResponse(ctx, o.cf, id)).is(t, 200).Body
			case apiclient.PrintStateFailed:
				t.Fatalf("the print failed: %s", *now.Failure)
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-over:
				t.Fatalf("the print is still %+v", now)
			}
		}
	}
	// Of 3B can be paid: three trips with their instalments and the rest of a
	// fourth, and four insurances.
	p, pdf := end(class)
	pages := readPDF(t, pdf)
	text := strings.Join(pages, "\n")
	if p.Printed != 8 || pages != nil && (len(pages) < p.Printed || strings.Count(text, "Omar Fabbri") < 2 || strings.Contains(text, "Maria Rossi")) {
		t.Errorf("3B: %+v, %d pages\n%s", p, len(pages), text)
	}
	p, archive := end(covers)
	files, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	if len(files.File) != p.Printed || p.Printed != 6 {
		t.Errorf("the archive of %+v has %d files", p, len(files.File))
	}
	one := got(o.desk.PrintNoticeWithResponse(ctx, o.cf, o.covers["a-06"].Number, nil)).is(t, 200).Body
	if pages := readPDF(t, one); pages != nil && (len(pages) != 1 || !strings.Contains(pages[0], "Tommaso Longo") || !strings.Contains(pages[0], "8,50")) {
		t.Errorf("one notice: %q", pages)
	}
	got(o.desk.PrintNoticeWithResponse(ctx, o.cf, o.covers["s-01"].Number, nil)).refuses(t, 409, "notice_paid")
}

func (o *officeYear) givesBack() {
	ctx, t := o.Context(), o.T
	receipts := got(o.desk.ListReceiptsWithResponse(ctx, o.cf, &apiclient.ListReceiptsParams{Notice: new(o.covers["s-01"].Number)})).is(t, 200).JSON200.Items
	if len(receipts) != 1 || receipts[0].AmountCents != 850 || receipts[0].Anomaly != nil || receipts[0].Channel != apiclient.ReceiptChannelNode {
		t.Fatalf("the receipts are %+v", receipts)
	}
	o.receipt = receipts[0].ID
	for over := time.After(time.Minute); ; {
		if r := got(o.desk.GetReceiptWithResponse(ctx, o.cf, o.receipt)).is(t, 200).JSON200; r.Seal != nil {
			break
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-over:
			t.Fatal("the receipt is not sealed")
		}
	}
	if xml := got(o.desk.GetReceiptWithResponse(ctx, o.cf, o.receipt, accept("application/xml"))).is(t, 200).Body; !bytes.Contains(xml, []byte("rt-"+o.covers["s-01"].Number)) {
		t.Errorf("the receipt as it came: %s", xml)
	}
	if pdf := got(o.desk.GetReceiptWithResponse(ctx, o.cf, o.receipt, accept("application/pdf"))).is(t, 200).Body; !bytes.HasPrefix(pdf, []byte("%PDF-")) {
		t.Errorf("the receipt on paper begins %q", pdf[:min(8, len(pdf))])
	}
	ask := func(cents int64) answer[*apiclient.RequestRefundResponse] {
		return got(o.desk.RequestRefundWithResponse(ctx, o.cf, &apiclient.RequestRefundParams{IdempotencyKey: o.desk.key()}, apiclient.NewRefund{
			Receipt: o.receipt, AmountCents: cents, Reason: "Ha lasciato la scuola", Iban: new("IT60X0542811101000000123456"), Holder: new("Franca Orlandi"),
		}))
	}
	ask(851).refuses(t, 400, "invalid_request")
	o.refund = ask(850).is(t, 201).JSON201.ID
	ask(1).refuses(t, 409, "refund_exceeds_receipt")
	set := func(d *desk, state apiclient.RefundChangeState) answer[*apiclient.ChangeRefundResponse] {
		return got(d.ChangeRefundWithResponse(ctx, o.cf, o.refund, nil, apiclient.RefundChange{State: &state}))
	}
	set(o.desk, apiclient.RefundChangeStateApproved).refuses(t, 403, "refund_own_request")
	if r := set(o.head, apiclient.RefundChangeStateApproved).is(t, 200).JSON200; r.State != "approved" || *r.Execution != "school" || !strings.Contains(*r.DecidedBy, o.head.id) {
		t.Errorf("approved: %+v", r)
	}
	if r := set(o.desk, apiclient.RefundChangeStateExecuted).is(t, 200).JSON200; r.State != "executed" {
		t.Errorf("executed: %+v", r)
	}
	for _, state := range []string{"requested", "approved", "executed"} {
		o.hook.waitFor(t, "a refund "+state, func(e told) bool {
			return e.Type == "refund.changed" && e.Data.Refund == o.refund && e.Data.State == state
		})
	}
}

func accept(kind string) apiclient.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Accept", kind)
		return nil
	}
}

// sum adds a column of euro amounts, as an Italian spreadsheet shows them.
func (o *officeYear) sum(rows [][]string, column string) (cents int64) {
	o.Helper()
	at := slices.Index(rows[0], column)
	if at < 0 {
		o.Fatalf("there is no column %s in %q", column, rows[0])
	}
	for _, row := range rows[1:] {
		var euro, rest int64
		if _, err := fmt.Sscanf(strings.ReplaceAll(row[at], ".", ","), "%d,%d", &euro, &rest); err != nil {
			o.Fatalf("%s is %q: %v", column, row[at], err)
		}
		cents += euro*100 + rest
	}
	return cents
}

func (o *officeYear) exports() {
	ctx, t := o.Context(), o.T
	var want int64
	for _, cents := range o.paid {
		want += cents
	}
	table := func(body []byte) [][]string {
		t.Helper()
		r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(body, []byte("\ufeff"))))
		r.Comma = ';'
		rows, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	rows := table(got(o.desk.ExportPaymentsWithResponse(ctx, o.cf, nil)).is(t, 200).Body)
	if sum := o.sum(rows, "Importo"); len(rows)-1 != len(o.paid) || sum != want || o.sum(rows, "Alla scuola") != want {
		t.Errorf("%d payments of %d cents, want %d of %d", len(rows)-1, sum, len(o.paid), want)
	}
	rows = table(got(o.desk.ExportReceiptsWithResponse(ctx, o.cf, nil)).is(t, 200).Body)
	if sum := o.sum(rows, "Importo"); sum != want {
		t.Errorf("receipts of %d cents, want %d", sum, want)
	}
	workbook := got(o.desk.ExportNoticesWithResponse(ctx, o.cf, &apiclient.ExportNoticesParams{
		Format: new(apiclient.ExportNoticesParamsFormatXlsx), Status: new(apiclient.NoticeStatusPaid),
	})).is(t, 200).Body
	book, err := excelize.OpenReader(bytes.NewReader(workbook))
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	rows, err = book.GetRows(book.GetSheetName(0), excelize.Options{RawCellValue: true})
	if err != nil {
		t.Fatal(err)
	}
	at := slices.Index(rows[0], "Importo")
	var sum float64
	for _, row := range rows[1:] {
		var euro float64
		if _, err := fmt.Sscan(row[at], &euro); err != nil {
			t.Fatal(err)
		}
		sum += euro
	}
	if cents := int64(sum*100 + 0.5); len(rows)-1 != len(o.paid) || cents != want {
		t.Errorf("the workbook has %d paid notices of %d cents, want %d of %d", len(rows)-1, cents, len(o.paid), want)
	}
}

func (o *officeYear) closesTheYear() {
	ctx, t := o.Context(), o.T
	end := func(id string, cancel bool) apiclient.Campaign {
		t.Helper()
		c := got(o.desk.CloseCampaignWithResponse(ctx, o.cf, id, &apiclient.CloseCampaignParams{IdempotencyKey: o.desk.key()}, apiclient.CampaignClosing{CancelUnpaid: &cancel})).is(t, 200).JSON200
		if c.State != apiclient.CampaignStateClosed || c.GiveURL != nil {
			t.Errorf("%s is %s", c.Title, c.State)
		}
		return *c
	}
	end(o.gift, false)
	end(o.trip, false) // it may still be paid
	if c := end(o.insurance, true); c.Progress.Acted != 6 || c.Totals != (apiclient.CampaignTotals{Notices: 4, IssuedCents: 850*3 + 500, Paid: 4, PaidCents: 850*3 + 500}) {
		t.Errorf("the insurance, closed: %+v, %+v", c.Totals, c.Progress)
	}
	if s := o.notice(o.covers["b-01"].Number).Status; s != apiclient.NoticeStatusCancelled {
		t.Errorf("an insurance that nobody paid is %s", s)
	}
	o.publish(o.insurance).refuses(t, 409, "campaign_state")
	newVisitor(t, o.base).allow(http.StatusNotFound).do("GET", o.giveURL, nil)
	if list := got(o.desk.ListEvidenceWithResponse(ctx, o.cf, nil)).is(t, 200).JSON200.Items; len(list) != 0 {
		t.Errorf("there is evidence: %+v", list)
	}
	if list := got(o.desk.ListReceiptsWithResponse(ctx, o.cf, &apiclient.ListReceiptsParams{Anomaly: new(apiclient.ListReceiptsParamsAnomalyAny)})).is(t, 200).JSON200.Items; len(list) != 0 {
		t.Errorf("there are anomalies: %+v", list)
	}

	// Who did what.
	got(o.desk.ListAuditWithResponse(ctx, o.cf, nil)).refuses(t, 403, "insufficient_scope")
	did := func(d *desk, want ...string) {
		t.Helper()
		var actions []string
		filter := apiclient.ListAuditParams{Actor: &d.id, Limit: new(100)}
		for {
			page := got(o.head.ListAuditWithResponse(ctx, o.cf, &filter)).is(t, 200).JSON200
			for _, line := range page.Items {
				if !slices.Contains(actions, line.Action) {
					actions = append(actions, line.Action)
				}
			}
			if filter.Cursor = page.NextCursor; filter.Cursor == nil {
				break
			}
		}
		for _, action := range want {
			if !slices.Contains(actions, action) {
				t.Errorf("%s did %q, and no %s", d.id, actions, action)
			}
		}
	}
	did(o.admin, "client.created", "school.changed", "school.created")
	did(o.desk, "campaign.changed", "campaign.closed", "campaign.created", "campaign.published", "campaign.reminded", "contribution.opened", "delegate.added", "delegate.ended",
		"export.notices", "export.payments", "export.receipts", "import.created", "import.done", "notice.cancelled", "notice.changed", "notice.restored", "notices.searched", "payer.linked",
		"print.created", "print.read", "pupil.put", "pupils.listed", "receipt.raw_read", "refund.executed", "refund.requested", "webhook.created", "webhook.rotated")
	did(o.head, "campaign.approved", "refund.approved")

	// Every call that was due was made, and taken.
	var page *apiclient.DeliveryPage
	for over := time.After(time.Minute); ; {
		page = got(o.desk.ListDeliveriesWithResponse(ctx, o.cf, o.webhook, &apiclient.ListDeliveriesParams{Limit: new(500)})).is(t, 200).JSON200
		if !slices.ContainsFunc(page.Items, func(d apiclient.Delivery) bool { return d.Status != apiclient.DeliveryStatusDelivered }) {
			break
		}
		select {
		case <-o.hook.news:
		case <-over:
			t.Fatal("not every call was taken")
		}
	}
	o.hook.mu.Lock()
	events, calls := len(o.hook.seen), o.hook.calls
	o.hook.mu.Unlock()
	if len(page.Items) != events || calls != events {
		t.Errorf("%d deliveries, and %d events came in %d calls", len(page.Items), events, calls)
	}
	// The office lost one, and hears it again under the same webhook-id.
	again := got(o.desk.ReplayDeliveryWithResponse(ctx, o.cf, page.Items[0].ID, &apiclient.ReplayDeliveryParams{IdempotencyKey: o.desk.key()})).is(t, 201).JSON201
	if again.EventID != page.Items[0].EventID {
		t.Errorf("a replay of %s is %s", page.Items[0].EventID, again.EventID)
	}
	o.hook.waitForCalls(t, calls+1)
	if o.hook.mu.Lock(); len(o.hook.seen) != events {
		t.Errorf("a replay came as a new event")
	}
	o.hook.mu.Unlock()

	// The head leaves.
	clients := got(o.admin.ListClientsWithResponse(ctx, &apiclient.ListClientsParams{School: &o.cf})).is(t, 200).JSON200.Items
	if len(clients) != 2 || clients[0].ClientID != o.head.id || clients[0].RevokedAt != nil {
		t.Errorf("the clients are %+v", clients)
	}
	got(o.admin.RevokeClientWithResponse(ctx, o.head.id)).is(t, 204)
	got(o.head.ListCampaignsWithResponse(ctx, o.cf, nil)).refuses(t, 401, "invalid_token")
}

// isNobodyElses asks for all of it as another school's office.
func (o *officeYear) isNobodyElses() {
	ctx, t := o.Context(), o.T
	other := newDesk(t, o.base, o.demo.API.ID, o.demo.API.Secret)
	n := o.trips["a-04"][0].Number
	key := other.key
	for _, a := range []interface {
		refuses(testing.TB, int, string)
	}{
		got(other.GetSchoolWithResponse(ctx, o.cf)),
		got(other.ListNoticesWithResponse(ctx, o.cf, nil)),
		got(other.GetNoticeWithResponse(ctx, o.cf, n)),
		got(other.GetNoticeWithResponse(ctx, string(o.demo.API.School), n)),
		got(other.SearchNoticesWithResponse(ctx, o.cf, nil, apiclient.NoticeSearch{Debtor: o.covers["a-04"].Debtor.FiscalCode})),
		got(other.ChangeNoticeWithResponse(ctx, o.cf, n, nil, apiclient.NoticeChange{AmountCents: new(int64(1))})),
		got(other.CancelNoticeWithResponse(ctx, o.cf, n, &apiclient.CancelNoticeParams{IdempotencyKey: key()})),
		got(other.RestoreNoticeWithResponse(ctx, o.cf, n, &apiclient.RestoreNoticeParams{IdempotencyKey: key()}, apiclient.NoticeRestore{})),
		got(other.ListEventsWithResponse(ctx, o.cf, n, nil)),
		got(other.PrintNoticeWithResponse(ctx, o.cf, n, nil)),
		got(other.CreatePrintWithResponse(ctx, o.cf, &apiclient.CreatePrintParams{IdempotencyKey: key()}, apiclient.NewPrint{Class: new("3B")})),
		got(other.GetPrintWithResponse(ctx, o.cf, o.print)),
		got(other.GetPrintWithResponse(ctx, string(o.demo.API.School), o.print)),
		got(other.GetPrintFileWithResponse(ctx, o.cf, o.print)),
		got(other.GetPrintFileWithResponse(ctx, string(o.demo.API.School), o.print)),
		got(other.ListPupilsWithResponse(ctx, o.cf, nil)),
		got(other.GetPupilWithResponse(ctx, o.cf, "a-01")),
		got(other.GetPupilWithResponse(ctx, string(o.demo.API.School), "a-01")),
		got(other.DeletePayerWithResponse(ctx, o.cf, "a-01", "g-mario-rossi")),
		got(other.ListDelegatesWithResponse(ctx, o.cf, "3B")),
		got(other.ListCampaignsWithResponse(ctx, o.cf, nil)),
		got(other.GetCampaignWithResponse(ctx, o.cf, o.trip)),
		got(other.GetCampaignWithResponse(ctx, string(o.demo.API.School), o.trip)),
		got(other.PublishCampaignWithResponse(ctx, string(o.demo.API.School), o.trip, &apiclient.PublishCampaignParams{IdempotencyKey: key()})),
		got(other.ListReceiptsWithResponse(ctx, o.cf, nil)),
		got(other.GetReceiptWithResponse(ctx, o.cf, o.receipt)),
		got(other.GetReceiptWithResponse(ctx, string(o.demo.API.School), o.receipt)),
		got(other.ListRefundsWithResponse(ctx, o.cf, nil)),
		got(other.GetRefundWithResponse(ctx, string(o.demo.API.School), o.refund)),
		got(other.ListWebhooksWithResponse(ctx, o.cf, nil)),
		got(other.GetWebhookWithResponse(ctx, string(o.demo.API.School), o.webhook)),
		got(other.ListDeliveriesWithResponse(ctx, string(o.demo.API.School), o.webhook, nil)),
		got(other.DeleteWebhookWithResponse(ctx, string(o.demo.API.School), o.webhook)),
		got(other.ExportPaymentsWithResponse(ctx, o.cf, nil)),
		got(other.ListAuditWithResponse(ctx, o.cf, nil)),
		got(other.ListEvidenceWithResponse(ctx, o.cf, nil)),
		got(other.CreateCartWithResponse(ctx, &apiclient.CreateCartParams{IdempotencyKey: key()}, apiclient.NewCart{Method: apiclient.MethodCard, Notices: []apiclient.NoticeRef{{School: o.cf, Number: n}}})),
	} {
		a.refuses(t, 404, "not_found")
	}
	got(other.RequestRefundWithResponse(ctx, string(o.demo.API.School), &apiclient.RequestRefundParams{IdempotencyKey: key()}, apiclient.NewRefund{Receipt: o.receipt, AmountCents: 1, Reason: "x"})).refuses(t, 400, "invalid_request")
	if s := o.notice(n).Status; s != apiclient.NoticeStatusOpen {
		t.Errorf("after all that the notice is %s", s)
	}
}
