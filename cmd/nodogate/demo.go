// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/sync/errgroup"

	"github.com/nodogate/nodogate/connectors"
	"github.com/nodogate/nodogate/connectors/sandbox"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/nodeforpsp"
	"github.com/nodogate/nodogate/gateway/pafornode"
	"github.com/nodogate/nodogate/gateway/pagopa"
)

// demoDir is where the demo keeps its files, as the defaults of the
// configuration do.
const demoDir = "data"

func demoCommand(ctx context.Context, c cli, args []string) error {
	if err := parse(newFlags("demo"), args); err != nil {
		return err
	}
	cfg, err := loadConfig(c.env)
	if err != nil {
		return err
	}
	if !cfg.set["NODOGATE_PEER_AUTH"] {
		cfg.PeerAuth = "none"
	}
	if !cfg.set["NODOGATE_ALLOW_PRIVATE_TARGETS"] {
		cfg.AllowPrivate = true
	}
	if cfg.HelpText == "" {
		cfg.HelpText = "Questa è una dimostrazione: nessuno risponde al telefono, e nessun denaro si muove."
	}
	if cfg.HelpMail == "" {
		cfg.HelpMail = "assistenza@famiglie.example" // becomes a file, as all mails of the demo
	}
	if err := cfg.checkServe(); err != nil {
		return err
	}
	if err := os.MkdirAll(demoDir, 0o700); err != nil {
		return err
	}
	// What the demo logs goes to a file: the terminal is for the person.
	logFile, err := os.OpenFile(filepath.Join(demoDir, "demo.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	log := newLog(logFile)
	slog.SetDefault(log) // where the sandbox's OpenID library writes

	other, err := listen(ctx, cfg.SandboxListen)
	if err != nil {
		return fmt.Errorf("NODOGATE_SANDBOX_LISTEN: %w", err)
	}
	defer other.Close()
	sandboxURL := "http://" + other.Addr().String()
	catalogue, err := demoCatalogue(sandboxURL)
	if err != nil {
		return err
	}
	if cfg.ACAURL == "" && cfg.AllowPrivate {
		cfg.ACAURL, cfg.ACAKey = sandboxURL+"/aca", "the-sandbox-has-no-secrets"
	}
	if cfg.AFMURL == "" && cfg.AllowPrivate {
		cfg.AFMURL, cfg.AFMKey = sandboxURL+"/afm", "the-sandbox-has-no-secrets"
	}
	if cfg.AppIOKey == "" && cfg.AppIOKeys == "" && cfg.AllowPrivate {
		cfg.AppIOURL, cfg.AppIOKey = sandboxURL+"/appio/api/v1", "the-sandbox-has-no-secrets"
	}
	if cfg.OIDC == "" && cfg.AllowPrivate {
		cfg.identities = demoIdentities(&url.URL{Scheme: "http", Host: other.Addr().String()})
	}
	n, err := newNode(ctx, cfg, log, catalogue, demoEnv)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return serveSandbox(ctx, other, catalogue, n.peerURL(), n.public, log, func(ctx context.Context, creditor string) (pagopa.Target, error) {
			s, err := n.service.School(ctx, gateway.SchoolCode(creditor))
			return pagopa.Target{PA: creditor, Broker: s.Broker, Station: s.Station}, err
		})
	})
	g.Go(func() error { return n.run(ctx) })
	g.Go(func() error {
		demo, err := fillDemo(ctx, n, sandboxURL)
		if err != nil {
			return fmt.Errorf("demo data: %w", err)
		}
		n.ready.Store(true)
		demo.print(c.stdout)
		return nil
	})
	return g.Wait()
}

func sandboxCommand(ctx context.Context, c cli, args []string) error {
	fs := newFlags("sandbox")
	gatewayURL := fs.String("gateway", "", "`URL` of the gateway's faces and callbacks (default http://NODOGATE_LISTEN)")
	if err := parse(fs, args); err != nil {
		return err
	}
	cfg, err := loadConfig(c.env)
	if err != nil {
		return err
	}
	if *gatewayURL == "" {
		*gatewayURL = "http://" + cfg.Listen
	}
	l, err := listen(ctx, cfg.SandboxListen)
	if err != nil {
		return fmt.Errorf("NODOGATE_SANDBOX_LISTEN: %w", err)
	}
	catalogue, err := demoCatalogue("http://" + l.Addr().String())
	if cfg.set["NODOGATE_PSPS"] {
		// It plays the PSPs that the gateway beside it has.
		catalogue, err = (&catalogueFile{path: cfg.PSPs}).load()
	}
	if err != nil {
		return err
	}
	log := newLog(c.stderr)
	slog.SetDefault(log) // where the sandbox's OpenID library writes
	log.Info("listening", "sandbox", l.Addr().String(), "gateway", *gatewayURL)
	portal := cfg.PublicURL
	if portal == "" {
		portal = *gatewayURL
	}
	public, err := url.Parse(portal)
	if err != nil {
		return fmt.Errorf("NODOGATE_PUBLIC_URL: %w", err)
	}
	return serveSandbox(ctx, l, catalogue, *gatewayURL, public, log, func(_ context.Context, creditor string) (pagopa.Target, error) {
		// A school that names no broker and no station is reached like this.
		return pagopa.Target{PA: creditor, Broker: creditor, Station: creditor + "_01"}, nil
	})
}

// peerURL is where the sandbox finds the faces and the callbacks.
func (n *node) peerURL() string {
	l := n.listen
	if n.peer != nil {
		l = n.peer
	}
	return "http://" + l.Addr().String()
}

func serveSandbox(ctx context.Context, l net.Listener, catalogue connectors.Catalogue, gatewayURL string, public *url.URL, log *slog.Logger,
	target func(ctx context.Context, creditor string) (pagopa.Target, error)) error {
	callbacks, err := url.Parse(gatewayURL)
	if err != nil {
		return fmt.Errorf("the gateway's address: %w", err)
	}
	s, err := sandbox.New(sandbox.Config{
		URL: &url.URL{Scheme: "http", Host: l.Addr().String()}, Creditor: callbacks.JoinPath(pafornode.Path).String(), Target: target,
		Gateway: callbacks, Secrets: secretOf(catalogue, func(p connectors.PSP) string { return p.SecretEnv }),
		NodeFace: callbacks.JoinPath(nodeforpsp.Path).String(), Passwords: secretOf(catalogue, func(p connectors.PSP) string {
			if p.Node == nil {
				return ""
			}
			return p.Node.PasswordEnv
		}),
		PSPs: catalogue.PSPs, Now: time.Now, Log: log,
		People: demoPeople(), Portal: public, IdentitySecret: demoEnv("DEMO_OIDC_SECRET"),
	})
	if err != nil {
		return err
	}
	srv := server(s, log)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := srv.Shutdown(stop)
		if err := s.Close(stop); err != nil {
			log.Warn("stop the sandbox", "err", err)
		}
		return err
	})
	return g.Wait()
}

// secretOf finds what a PSP's entry says is in a variable, for the side that is
// played: both sides read the same one.
func secretOf(catalogue connectors.Catalogue, variable func(connectors.PSP) string) func(psp string) string {
	return func(psp string) string {
		for _, p := range catalogue.PSPs {
			if string(p.ID) == psp {
				return demoEnv(variable(p))
			}
		}
		return ""
	}
}

// demoPSPs is the psps.yaml of the demo: every provider is played by the
// sandbox.
//
//go:embed demo_psps.yaml
var demoPSPs string

// demoEnv adds what the invented providers and the gateway have to share. None
// of it guards anything: both sides run on this machine, and no money moves.
func demoEnv(name string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return map[string]string{"DEMO_NODE_PASSWORD": "demo-password", "DEMO_PSP_SECRET": "the sandbox has no secrets", "DEMO_OIDC_SECRET": "the-sandbox-has-no-secrets"}[name]
}

func demoCatalogue(sandboxURL string) (connectors.Catalogue, error) {
	return connectors.ParseCatalogue([]byte(strings.ReplaceAll(demoPSPs, "SANDBOX", sandboxURL)))
}

// demoFile is data/demo.json.
type demoFile struct {
	PortalURL  string     `json:"portal_url"`
	SandboxURL string     `json:"sandbox_url"`
	AdminURL   string     `json:"admin_url"`
	API        demoClient `json:"api"`
	Admin      demoClient `json:"admin"`
	Family     struct {
		Username   string             `json:"username"`
		Password   string             `json:"password"`
		FiscalCode gateway.FiscalCode `json:"fiscal_code"`
	} `json:"family"`
	Open []demoNotice `json:"open_notices"`
	Paid []demoNotice `json:"paid_notices"`
	// Contributions can be demanded at a PSP's counter by their service code.
	Contributions []demoContribution `json:"contributions"`
}

type demoClient struct {
	School gateway.SchoolCode `json:"school,omitempty"`
	ID     string             `json:"client_id"`
	Secret string             `json:"client_secret"`
}

type demoContribution struct {
	School  gateway.SchoolCode `json:"school"`
	Service string             `json:"service"` // idSoggettoServizio
}

type demoNotice struct {
	School gateway.SchoolCode `json:"school"`
	Number string             `json:"number"`
	Amount money.Cents        `json:"amount_cents"`
}

const (
	demoSchool = gateway.SchoolCode("80014480828")
	demoLiceo  = gateway.SchoolCode("80015010723")
	// The password of an account that exists on this machine only.
	demoPassword = "Famiglia-2026"
)

var (
	mario = person{"Mario", "Rossi", time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), false, "H501"}
	lucia = person{"Lucia", "Verdi", time.Date(1982, 6, 15, 0, 0, 0, 0, time.UTC), true, "E202"}
)

func mailOf(p person) string { return strings.ToLower(p.first+"."+p.last) + "@famiglie.example" }

// demoRegistry are the 40 pupils. The Rossi have one child in each school.
func demoRegistry() []gateway.Pupil {
	first := demoPupils(demoSchool, []string{"3A", "3B"}, []string{"Bianchi", "Esposito", "Ferrari", "Romano", "Colombo", "Ricci", "Marino", "Greco", "Bruno", "Gallo", "Conti"}, 2014)
	second := demoPupils(demoLiceo, []string{"1A", "2A"}, []string{"Mancini", "Costa", "Giordano", "Rizzo", "Lombardi", "Moretti", "Barbieri", "Fontana", "Santoro", "Mariani", "Rinaldi"}, 2012)
	maria := person{"Maria", "Rossi", time.Date(2014, 5, 12, 0, 0, 0, 0, time.UTC), true, "E202"}
	luca := person{"Luca", "Rossi", time.Date(2011, 9, 3, 0, 0, 0, 0, time.UTC), false, "E202"}
	set := func(p *gateway.Pupil, child person) {
		p.Code, p.FirstName, p.LastName = child.code(), child.first, child.last
	}
	set(&first[10], maria) // 3B-01
	set(&second[0], luca)  // 1A-01
	return append(first, second...)
}

// fillDemo fills an empty database through the Service, pays one notice by each
// method through the sandbox, and writes demo.json. A database that has its
// demo already is left as it is.
func fillDemo(ctx context.Context, n *node, sandboxURL string) (*demoFile, error) {
	file := filepath.Join(demoDir, "demo.json")
	d := &demoFile{}
	b, err := os.ReadFile(file)
	switch {
	case err == nil:
		if err := json.Unmarshal(b, d); err != nil {
			return nil, fmt.Errorf("%s is not the demo's: %w", file, err)
		}
		if _, err := n.service.School(ctx, demoSchool); err != nil {
			return nil, fmt.Errorf("%s is of another database: remove it, or bring its database back (%w)", file, err)
		}
	case errors.Is(err, os.ErrNotExist):
		if _, err := n.service.School(ctx, demoSchool); err == nil {
			return nil, fmt.Errorf("the database has the demo's data, but %s is gone and with it the passwords: remove the database too", file)
		}
		if err := d.seed(ctx, n); err != nil {
			return nil, err
		}
	default:
		return nil, err
	}
	if err := d.list(ctx, n.service); err != nil {
		return nil, err
	}
	d.PortalURL, d.SandboxURL, d.AdminURL = n.public.String(), sandboxURL, "http://"+n.admin.Addr().String()
	if b, err = json.MarshalIndent(d, "", "  "); err != nil {
		return nil, err
	}
	// The secrets in it open this demo only, yet nobody else need read them.
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return nil, err
	}
	return d, os.Rename(tmp, file)
}

func (d *demoFile) seed(ctx context.Context, n *node) error {
	svc := n.service
	for _, s := range []gateway.NewSchool{
		{Code: string(demoSchool), Name: "Istituto Comprensivo Grosseto 6", IBAN: "IT60X0542811101000000123456", Segregation: "01",
			Station: string(demoSchool) + "_01", Mechanograph: "GRIC83000X", Town: "Grosseto", HelpText: "Segreteria, dal lunedì al venerdì 10-12, telefono 0564 000001",
			PostalAccount: "1007214826", PostalIBAN: "IT15L0760117400001007214826", PostalHolder: "Istituto Comprensivo Grosseto 6", PostalAuth: "AUT. DB/0000/XXX 00001 DEL 01/09/2026"},
		{Code: string(demoLiceo), Name: "Liceo Galileo Galilei", IBAN: "IT45R0760103200000000001016", Segregation: "02",
			Station: string(demoLiceo) + "_01", Mechanograph: "GRPS01000A", Town: "Follonica", HelpText: "Ufficio didattica, lunedì e giovedì 9-11, telefono 0564 000002",
			PostalAccount: "1016", PostalIBAN: "IT45R0760103200000000001016", PostalHolder: "Liceo Galileo Galilei", PostalAuth: "AUT. DB/0000/XXX 00000 DEL 01/09/2026"},
	} {
		if _, _, err := svc.AddSchool(ctx, operator, s); err != nil {
			return err
		}
	}
	family, err := d.addFamilies(ctx, svc)
	if err != nil {
		return err
	}
	if err := d.issue(ctx, svc); err != nil {
		return err
	}
	if err := d.payOne(ctx, n, family); err != nil {
		return err
	}
	client, secret, err := svc.AddClient(ctx, operator, demoSchool, "segreteria", gateway.Scopes)
	if err != nil {
		return err
	}
	d.API = demoClient{demoSchool, client.ID, secret}
	client, secret, err = svc.AddClient(ctx, operator, "", "operator", nil)
	d.Admin = demoClient{"", client.ID, secret}
	return err
}

// addFamilies registers the pupils with a parent each, and gives accounts to
// the Rossi, who have a child in both schools.
func (d *demoFile) addFamilies(ctx context.Context, svc *gateway.Service) (gateway.Account, error) {
	for i, p := range demoRegistry() {
		if err := svc.PutPupil(ctx, operator, p); err != nil {
			return gateway.Account{}, err
		}
		type parent struct {
			person
			relation string
		}
		parents := []parent{{person{"Paola", p.LastName, time.Date(1975+i%12, time.Month(1+i%12), 1+i%28, 0, 0, 0, 0, time.UTC), true, "E202"}, "mother"}}
		if p.LastName == "Rossi" {
			parents = []parent{{mario, "father"}, {lucia, "mother"}}
		}
		for j, who := range parents {
			payer := gateway.Payer{
				School: p.School, ID: fmt.Sprintf("%s-g%d", p.ID, j+1), Code: who.code(), FirstName: who.first, LastName: who.last,
				Email: strings.ToLower(fmt.Sprintf("%s.%s.%d@famiglie.example", who.first, who.last, i)), Language: "it",
			}
			if who.person == mario {
				payer.Email = "mario.rossi@famiglie.example"
			}
			if err := svc.PutPayer(ctx, operator, payer, p.ID, who.relation); err != nil {
				return gateway.Account{}, err
			}
		}
	}
	var family gateway.Account
	for _, who := range []person{mario, lucia} {
		a, err := svc.AddAccount(ctx, gateway.Account{
			Username: strings.ToLower(who.first + "." + who.last), Code: who.code(), FirstName: who.first, LastName: who.last,
			Email: mailOf(who), Proven: true, Language: "it",
			ConsentsAt: svc.Now(), MailConsent: true, ChoiceConsent: true,
		}, demoPassword)
		if err != nil {
			return gateway.Account{}, err
		}
		if who == mario {
			family = a
		}
	}
	d.Family.Username, d.Family.Password, d.Family.FiscalCode = family.Username, demoPassword, family.Code
	return family, nil
}

// issue gives every pupil notices: a trip and the insurance still to pay, a
// voluntary contribution, and one from last spring that expired. The campaigns
// come first, so that those stand first in lists.
func (d *demoFile) issue(ctx context.Context, svc *gateway.Service) error {
	today := gateway.DateIn(svc.Now())
	notices := map[gateway.SchoolCode][]gateway.NewNotice{}
	for _, p := range demoRegistry() {
		for _, kind := range []struct {
			id, text  string
			amount    money.Cents
			due       gateway.Date
			deduction string
			afterDue  bool
		}{
			{"gita", "Viaggio di istruzione " + p.Class, 1650, today.AddDays(38), "e-bis", false},
			{"assicurazione", "Assicurazione integrativa 2026/27", 850, today.AddDays(12), "e-bis", false},
			{"mensa", "Mensa scolastica, mese di novembre", 4200, today.AddDays(5), "e-bis", false},
			{"libretto", "Libretto personale e badge", 500, today.AddDays(20), "e-bis", false},
			{"contributo", "Contributo volontario per i laboratori", 5000, today.AddDays(60), "i-octies", true},
			{"corso", "Corso di nuoto, secondo quadrimestre", 3000, today.AddDays(-160), "e-bis", false},
		} {
			notices[p.School] = append(notices[p.School], gateway.NewNotice{
				DebtorCode: string(p.Code), DebtorName: p.FirstName + " " + p.LastName, Class: p.Class,
				Description: kind.text, Amount: kind.amount, DueDate: kind.due.String(), PayableAfterDue: kind.afterDue,
				Deduction: kind.deduction, ExternalID: kind.id + "-" + p.ID,
			})
		}
	}
	if err := d.collect(ctx, svc, today); err != nil {
		return err
	}
	for school, list := range notices {
		if _, err := svc.Issue(ctx, operator, school, list, false); err != nil {
			return err
		}
	}
	return nil
}

// collect publishes a campaign of each kind: a journey of a class, at once or in
// two instalments, and a contribution of whoever likes.
func (d *demoFile) collect(ctx context.Context, svc *gateway.Service, today gateway.Date) error {
	for _, content := range []gateway.CampaignContent{
		{
			Kind: gateway.CampaignAssigned, Title: "Soggiorno a Roma, 3B", Description: "Soggiorno a Roma, classe 3B", Amount: 12000,
			DueDate: today.AddDays(120).String(), Classes: []string{"3B"}, Deduction: "e-bis",
			Instalments: []gateway.NewInstalment{{Amount: 4000, DueDate: today.AddDays(90).String()}, {Amount: 8000, DueDate: today.AddDays(120).String()}},
		},
		{
			Kind: gateway.CampaignVoluntary, Title: "Ampliamento dell'offerta formativa", Description: "Contributo volontario aperto a tutti",
			Amount: 2000, Min: 100, Free: true, DueDate: today.AddDays(200).String(), Deduction: "i-octies",
		},
	} {
		c, err := svc.CreateCampaign(ctx, operator, demoSchool, content)
		if err != nil {
			return err
		}
		if _, err := svc.PublishCampaign(ctx, operator, demoSchool, c.ID); err != nil {
			return err
		}
	}
	open, err := svc.Contributions(ctx, demoSchool)
	for _, c := range open {
		d.Contributions = append(d.Contributions, demoContribution{c.School, c.Service})
	}
	return err
}

// payOne pays one notice of the family by each method, as a browser would.
func (d *demoFile) payOne(ctx context.Context, n *node, family gateway.Account) error {
	all, err := n.service.FamilyNotices(ctx, family)
	if err != nil {
		return err
	}
	methods := gateway.Methods
	for _, f := range all {
		// The canteen and the booklets are what was paid.
		if len(methods) == 0 || f.Amount != 4200 && f.Amount != 500 {
			continue
		}
		if err := payAtSandbox(ctx, n.service, family, f.Notice, methods[0]); err != nil {
			return fmt.Errorf("pay by %s: %w", methods[0], err)
		}
		methods = methods[1:]
	}
	return nil
}

// list writes down what the family has to pay and has paid by now. A family
// that changed its password is left alone.
func (d *demoFile) list(ctx context.Context, svc *gateway.Service) error {
	family, err := svc.LogIn(ctx, d.Family.Username, d.Family.Password)
	if errors.Is(err, gateway.ErrCredentials) {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := svc.FamilyNotices(ctx, family)
	if err != nil {
		return err
	}
	d.Open, d.Paid = []demoNotice{}, []demoNotice{}
	for _, f := range all {
		record := demoNotice{f.School, f.Number.String(), f.Amount}
		switch {
		case f.State == gateway.NoticePaid:
			d.Paid = append(d.Paid, record)
		// Whoever pays all that stands in the file must not pay a plan in both ways.
		case f.Payable(svc.Now()) == nil && f.Payment == nil && f.Plan == "":
			d.Open = append(d.Open, record)
		}
	}
	return nil
}

// payAtSandbox opens a payment, presses Paga on the provider's page, and waits
// for the receipt.
func payAtSandbox(ctx context.Context, svc *gateway.Service, family gateway.Account, notice gateway.Notice, m gateway.Method) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cart, err := svc.Pay(ctx, gateway.PayRequest{
		Key: "demo-" + notice.Number.String(), Notices: []gateway.NoticeRef{{School: notice.School, Number: notice.Number}},
		Method: m, Account: &family, Actor: operator, Email: family.Email,
	})
	if err != nil {
		return err
	}
	if err := press(ctx, cart.Redirect, "Paga"); err != nil {
		return err
	}
	for {
		got, err := svc.Notice(ctx, notice.School, notice.Number)
		if err != nil || got.State == gateway.NoticePaid {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("no receipt came")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// press opens a page and sends the form that holds the button with this text.
func press(ctx context.Context, page, text string) error {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	do := func(method, address string, form url.Values) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
		if err != nil {
			return nil, err
		}
		if method == http.MethodPost {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		resp, err := client.Do(req)
		if err == nil && resp.StatusCode >= 400 {
			err = fmt.Errorf("the page answered %d", resp.StatusCode)
			resp.Body.Close()
		}
		return resp, err
	}
	resp, err := do(http.MethodGet, page, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	doc, err := html.Parse(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	action, form := findForm(doc, text)
	if form == nil {
		return fmt.Errorf("the page has no button %q", text)
	}
	target, err := resp.Request.URL.Parse(action)
	if err != nil {
		return err
	}
	sent, err := do(http.MethodPost, target.String(), form)
	if err != nil {
		return err
	}
	return sent.Body.Close()
}

// findForm gives the action and the fields of the form with this button.
func findForm(n *html.Node, button string) (action string, fields url.Values) {
	if n.Type == html.ElementNode && n.Data == "form" {
		fields, found := url.Values{}, false
		for c := range n.Descendants() {
			if c.Type != html.ElementNode {
				continue
			}
			switch {
			case c.Data == "input", c.Data == "textarea":
				fields.Set(attribute(c, "name"), attribute(c, "value"))
			case c.Data == "button" && c.FirstChild != nil && strings.TrimSpace(c.FirstChild.Data) == button:
				found = true
				if name := attribute(c, "name"); name != "" {
					fields.Set(name, attribute(c, "value"))
				}
				if a := attribute(c, "formaction"); a != "" {
					action = a
				}
			}
		}
		if found {
			if action == "" {
				action = attribute(n, "action")
			}
			return action, fields
		}
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if action, fields := findForm(c, button); fields != nil {
			return action, fields
		}
	}
	return "", nil
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// print tells a person what to do first.
func (d *demoFile) print(w io.Writer) {
	fmt.Fprintf(w, `
Nodogate demo. No money moves here: the sandbox plays the providers and the node.

  portal    %s      %s / %s
  sandbox   %s
  API       %s/api/docs      %s / %s
  metrics   %s/metrics

First: open the portal, press Accedi, put two notices in the cart, choose
"Carta di pagamento", press Paga here and Paga again on the sandbox's page.
All of this stands in %s. Ctrl-C stops; the data stays in %s.

`, d.PortalURL, d.Family.Username, d.Family.Password, d.SandboxURL, d.PortalURL, d.API.ID, d.API.Secret, d.AdminURL,
		filepath.Join(demoDir, "demo.json"), demoDir)
}
