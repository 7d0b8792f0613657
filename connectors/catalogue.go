// SPDX-License-Identifier: Apache-2.0

package connectors

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// Catalogue is psps.yaml: with whom families may pay.
type Catalogue struct {
	PSPs []PSP `yaml:"psps"`
}

// PSP is one entry of the catalogue, as the operator wrote it; New checks it.
type PSP struct {
	ID        gateway.PSPID    `yaml:"id"` // also idPSP on the node face
	Name      string           `yaml:"name"`
	Methods   []gateway.Method `yaml:"methods,flow"`
	Connector string           `yaml:"connector"` // the name of a Driver
	Endpoint  string           `yaml:"endpoint,omitempty"`
	// SecretEnv names the environment variable that holds the PSP's key.
	SecretEnv string `yaml:"secret_env,omitempty"`
	Fees      []Band `yaml:"fees,flow"`
	// MaxAmount is the most the PSP takes at once; zero is no limit.
	MaxAmount money.Cents `yaml:"max_amount_cents,omitempty"`
	// PageHosts are the hosts, beside the endpoint's, its pages are on.
	PageHosts []string `yaml:"page_hosts,flow,omitempty"`
	// Options are for its kind of connector alone.
	Options map[string]string `yaml:"options,omitempty"`
	// ClientCert and ClientKey are files (PEM) of the certificate we show to it,
	// CA of the authority that signs its own; each may be left out.
	ClientCert string `yaml:"client_cert,omitempty"`
	ClientKey  string `yaml:"client_key,omitempty"`
	CA         string `yaml:"ca,omitempty"`
	// Hours are when it takes payments, by Rome's clock; always when left out.
	Hours *Hours `yaml:"hours,omitempty"`
	// Node lets the PSP call the node face.
	Node *NodePeer `yaml:"node,omitempty"`
}

// Band is a fee for amounts up to and including UpTo; the last may be open.
type Band struct {
	UpTo *money.Cents `yaml:"up_to_cents,omitempty"`
	Fee  money.Cents  `yaml:"fee_cents"`
}

// Hours are from and to on each day, HH:MM; to may be the earlier one, past
// midnight then.
type Hours struct {
	From string `yaml:"from"`
	To   string `yaml:"to"`
}

// NodePeer is how a PSP names itself on the node face.
type NodePeer struct {
	Broker      string `yaml:"broker"`
	Channel     string `yaml:"channel"`
	PasswordEnv string `yaml:"password_env"`
}

// ParseCatalogue reads psps.yaml. A key it does not know is an error: a
// misspelt limit would otherwise be no limit. What the entries say is checked
// by New.
func ParseCatalogue(text []byte) (Catalogue, error) {
	var tree yaml.Node
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return Catalogue{}, fmt.Errorf("read catalogue: %w", err)
	}
	if line := findFloat(&tree); line > 0 {
		return Catalogue{}, fmt.Errorf("read catalogue: line %d: not a whole number of cents; a name that looks like a number goes in quotes", line)
	}
	var c Catalogue
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return Catalogue{}, fmt.Errorf("read catalogue: %w", err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Catalogue{}, errors.New("read catalogue: more than one YAML document")
	}
	return c, nil
}

// YAML is the catalogue as psps.yaml has it; ParseCatalogue reads the same back.
func (c Catalogue) YAML() ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(c), e.Close()); err != nil {
		return nil, fmt.Errorf("write catalogue: %w", err)
	}
	return b.Bytes(), nil
}

// findFloat is the line of the first number with a fraction, or 0. Decoding
// would silently make one cent of 1.50.
func findFloat(n *yaml.Node) int {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!float" {
		return n.Line
	}
	for _, child := range n.Content {
		if line := findFloat(child); line > 0 {
			return line
		}
	}
	return 0
}

// Fee is what the payer of this amount pays on top: the fee of the first band
// that reaches it. False when the PSP does not take so much.
func (p *PSP) Fee(amount money.Cents) (money.Cents, bool) {
	if p.MaxAmount > 0 && amount > p.MaxAmount {
		return 0, false
	}
	for _, b := range p.Fees {
		if b.UpTo == nil || amount <= *b.UpTo {
			return b.Fee, true
		}
	}
	return 0, false
}

var (
	pspIDForm   = regexp.MustCompile(`\A[A-Za-z0-9_-]{1,35}\z`) // stText35; stands in URLs and metrics
	pageHost    = regexp.MustCompile(`\A[a-z0-9.-]+(:[0-9]{1,5})?\z`)
	brokerForm  = regexp.MustCompile(`\A[0-9]{11}\z`)
	maxPSPName  = 70 // PSPCompanyName
	maxChannel  = 35 // idChannel, stText35
	maxEndpoint = 2000
)

// check lists every mistake of one entry.
func (p *PSP) check(allowPrivate bool, getenv func(string) string) []error {
	var bad []error
	wrong := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }

	if !pspIDForm.MatchString(string(p.ID)) {
		wrong("id: give 1 to 35 letters, digits, - or _")
	}
	if n := utf8.RuneCountInString(p.Name); n == 0 || n > maxPSPName {
		wrong("name: give 1 to %d characters", maxPSPName)
	}
	if len(p.Methods) == 0 {
		wrong("methods: give at least one of card, account_debit, postal_bulletin")
	}
	for i, m := range p.Methods {
		if !slices.Contains(gateway.Methods, m) {
			wrong("methods: %q is none of card, account_debit, postal_bulletin", m)
		} else if slices.Contains(p.Methods[:i], m) {
			wrong("methods: %s stands there twice", m)
		}
	}
	if p.Endpoint != "" { // whether it may be left out, only its kind knows
		if _, err := parseEndpoint(p.Endpoint, allowPrivate); err != nil {
			bad = append(bad, err)
		}
	}
	for _, host := range p.PageHosts {
		if !pageHost.MatchString(host) {
			wrong("page_hosts: %q is not a lower-case host name, with a port or without", host)
		}
	}
	if p.SecretEnv != "" && getenv(p.SecretEnv) == "" {
		wrong("secret_env: the environment variable %s is empty", p.SecretEnv)
	}
	if p.MaxAmount < 0 || p.MaxAmount > money.Max {
		wrong("max_amount_cents: give 1 to %d, or leave it out", money.Max)
	}
	bad = append(bad, p.checkFees()...)
	if h := p.Hours; h != nil {
		from, err1 := minute(h.From)
		to, err2 := minute(h.To)
		if err1 != nil || err2 != nil || from == to {
			wrong(`hours: give from and to as "HH:MM", in quotes, two different times`)
		}
	}
	if (p.ClientCert == "") != (p.ClientKey == "") {
		wrong("client_cert, client_key: they go together")
	} else if p.ClientCert != "" {
		if _, err := tls.LoadX509KeyPair(p.ClientCert, p.ClientKey); err != nil {
			wrong("client_cert: %w", err)
		}
	}
	if p.CA != "" {
		if _, err := certPool(p.CA); err != nil {
			wrong("ca: %w", err)
		}
	}
	if n := p.Node; n != nil {
		if !brokerForm.MatchString(n.Broker) {
			wrong("node.broker: give 11 digits, in quotes")
		}
		if c := utf8.RuneCountInString(n.Channel); c == 0 || c > maxChannel {
			wrong("node.channel: give 1 to %d characters", maxChannel)
		}
		if n.PasswordEnv == "" {
			wrong("node.password_env: name the environment variable of the password")
		}
	}
	return bad
}

// minute reads HH:MM as a minute of the day.
func minute(s string) (int, error) {
	t, err := time.Parse("15:04", s)
	return t.Hour()*60 + t.Minute(), err
}

// open says whether the PSP takes payments at this time.
func (p *PSP) open(now time.Time) bool {
	if p.Hours == nil {
		return true
	}
	from, _ := minute(p.Hours.From) // checked
	to, _ := minute(p.Hours.To)
	at := now.In(gateway.Rome())
	m := at.Hour()*60 + at.Minute()
	if from < to {
		return from <= m && m < to
	}
	return from <= m || m < to
}

// certPool reads the authorities that a PSP's certificate may be signed by.
func certPool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM", file)
	}
	return pool, nil
}

// tls is how we meet the PSP; nil: as everybody.
func (p *PSP) tls() (*tls.Config, error) {
	if p.ClientCert == "" && p.CA == "" {
		return nil, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.CA != "" {
		pool, err := certPool(p.CA)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = pool
	}
	if p.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(p.ClientCert, p.ClientKey)
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

func (p *PSP) checkFees() []error {
	var bad []error
	if len(p.Fees) == 0 {
		// Without a word on it, a PSP would look free and be offered first.
		bad = append(bad, errors.New("fees: give at least one band, {fee_cents: 0} when we state none"))
	}
	var before money.Cents
	for i, b := range p.Fees {
		if b.Fee < 0 || b.Fee > money.Max {
			bad = append(bad, fmt.Errorf("fees[%d].fee_cents: give 0 to %d", i, money.Max))
		}
		switch {
		case b.UpTo == nil && i < len(p.Fees)-1:
			bad = append(bad, fmt.Errorf("fees[%d].up_to_cents: only the last band may leave it out", i))
		case b.UpTo != nil && (*b.UpTo <= before || *b.UpTo > money.Max):
			bad = append(bad, fmt.Errorf("fees[%d].up_to_cents: give more than the band before, at most %d", i, money.Max))
		}
		if b.UpTo != nil {
			before = *b.UpTo
		}
	}
	return bad
}

var errNoEndpoint = errors.New("endpoint: give an absolute address, https://host/path")

// parseEndpoint reads the address of a PSP. The error does not repeat it: it
// may have a password where none belongs.
func parseEndpoint(s string, allowPrivate bool) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || len(s) > maxEndpoint || u.Hostname() == "":
		return nil, errNoEndpoint
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("endpoint: no user, query or fragment belongs there; keys go into secret_env")
	case u.Scheme == "http" && !allowPrivate:
		return nil, errors.New("endpoint: must be https")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("endpoint: must be https")
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}
