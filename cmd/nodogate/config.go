// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/caarlos0/env/v11"
	"gopkg.in/yaml.v3"

	"github.com/nodogate/nodogate/connectors/afm"
	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/cache"
	"github.com/nodogate/nodogate/gateway/notify"
	"github.com/nodogate/nodogate/gateway/oidc"
)

// config is all that can be set, by NODOGATE_ variables or by the same keys in
// the YAML file named by NODOGATE_CONFIG; a variable wins over the file. Fields
// tagged secret print as ***.
type config struct {
	DatabaseURL   string `env:"NODOGATE_DATABASE_URL" envDefault:"sqlite://data/nodogate.db" secret:"url"`
	RedisURL      string `env:"NODOGATE_REDIS_URL" secret:"url"`
	Listen        string `env:"NODOGATE_LISTEN" envDefault:"127.0.0.1:8080"`
	AdminListen   string `env:"NODOGATE_ADMIN_LISTEN" envDefault:"127.0.0.1:9090"`
	SandboxListen string `env:"NODOGATE_SANDBOX_LISTEN" envDefault:"127.0.0.1:8081"`
	PublicURL     string `env:"NODOGATE_PUBLIC_URL"`
	PeerListen    string `env:"NODOGATE_PEER_LISTEN"`
	PeerAuth      string `env:"NODOGATE_PEER_AUTH" envDefault:"mtls"`
	PeerCA        string `env:"NODOGATE_PEER_CA"`
	PeerKey       string `env:"NODOGATE_PEER_KEY" secret:"all"`
	// PeerSubjects are the common or DNS names whose certificates may call;
	// empty: all of the CA.
	PeerSubjects   []string `env:"NODOGATE_PEER_SUBJECTS"`
	PeerCertHeader string   `env:"NODOGATE_PEER_CERT_HEADER"`
	TrustedProxies []string `env:"NODOGATE_TRUSTED_PROXIES"`
	TLSCert        string   `env:"NODOGATE_TLS_CERT"`
	TLSKey         string   `env:"NODOGATE_TLS_KEY"`
	AllowPrivate   bool     `env:"NODOGATE_ALLOW_PRIVATE_TARGETS" envDefault:"false"`
	HelpText       string   `env:"NODOGATE_HELP_TEXT"`
	HelpMail       string   `env:"NODOGATE_HELP_MAIL"`
	Broker         string   `env:"NODOGATE_BROKER"`
	Station        string   `env:"NODOGATE_STATION"`
	Faces          []string `env:"NODOGATE_FACES" envDefault:"creditor,node"`
	PSPs           string   `env:"NODOGATE_PSPS" envDefault:"psps.yaml"`
	SMTPURL        string   `env:"NODOGATE_SMTP_URL" secret:"url"`
	MailFrom       string   `env:"NODOGATE_MAIL_FROM"`
	SecretFile     string   `env:"NODOGATE_SECRET_FILE" envDefault:"data/secret"`
	// APIRate is how many requests a minute a client of the REST API may make.
	APIRate int `env:"NODOGATE_API_RATE" envDefault:"12000"`
	// AFMURL is what stands before /fees of pagoPA's fee calculator; empty: fees
	// are the catalogue's.
	AFMURL string `env:"NODOGATE_AFM_URL"`
	AFMKey string `env:"NODOGATE_AFM_KEY" secret:"all"`
	// Logos is a folder of schools' logos, printed on their notices.
	Logos string `env:"NODOGATE_LOGOS" envDefault:"data/logos"`
	// ACAURL is the base address of pagoPA's archive of notices; empty: notices
	// are not mirrored.
	ACAURL string `env:"NODOGATE_ACA_URL"`
	ACAKey string `env:"NODOGATE_ACA_KEY" secret:"all"`

	// AppIOKey is the key of the App IO service of schools that have none of
	// their own in the file AppIOKeys; without both nobody is told in the app.
	AppIOURL  string `env:"NODOGATE_APPIO_URL" envDefault:"https://api.io.pagopa.it/api/v1"`
	AppIOKey  string `env:"NODOGATE_APPIO_KEY" secret:"all"`
	AppIOKeys string `env:"NODOGATE_APPIO_KEYS"`

	// OIDC is the file of the OpenID providers that families may enter with.
	OIDC string `env:"NODOGATE_OIDC"`
	// identities stand in for the file, in the demo.
	identities []oidc.Entry

	misread []error // what could not be read as what it is
	// set says which names were given a value, by variable or file.
	set map[string]bool
}

// ignored are variables that only say where the others are, or belong to parts
// of the gateway that this version does not have.
var ignored = []string{"NODOGATE_CONFIG"}

// loadConfig reads the configuration and checks all of it; the error lists
// every mistake.
func loadConfig(environ []string) (config, error) {
	values := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "NODOGATE_") && value != "" {
			values[name] = value
		}
	}
	if file := values["NODOGATE_CONFIG"]; file != "" {
		if err := addFile(values, file); err != nil {
			return config{}, err
		}
	}
	var cfg config
	// The settings that are no texts are listed with the other mistakes.
	misread := func(name, must string, read func(string) error) {
		if v, given := values[name]; given && read(v) != nil {
			cfg.misread = append(cfg.misread, fmt.Errorf("%s must be %s", name, must))
			delete(values, name)
		}
	}
	misread("NODOGATE_ALLOW_PRIVATE_TARGETS", "true or false", func(v string) error { _, err := strconv.ParseBool(v); return err })
	misread("NODOGATE_API_RATE", "1 or more requests a minute", func(v string) error { _, err := strconv.Atoi(v); return err })
	if err := env.ParseWithOptions(&cfg, env.Options{Environment: values}); err != nil {
		return config{}, fmt.Errorf("configuration: %w", err)
	}
	cfg.set = map[string]bool{}
	for name := range values {
		cfg.set[name] = true
	}
	return cfg, nil
}

// addFile adds what the file says where no variable says it.
func addFile(values map[string]string, file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("NODOGATE_CONFIG: %w", err)
	}
	// Values are taken as they are written: a fiscal code that begins with 0 is no
	// octal number.
	var fromFile map[string]yaml.Node
	if err := yaml.Unmarshal(b, &fromFile); err != nil {
		return fmt.Errorf("NODOGATE_CONFIG %s is not YAML with one key a line", file)
	}
	known := settings()
	var mistakes []error
	for name, v := range fromFile {
		if !slices.Contains(known, name) {
			mistakes = append(mistakes, fmt.Errorf("%s in %s is no setting", name, file))
			continue
		}
		if _, given := values[name]; given || v.ShortTag() == "!!null" {
			continue
		}
		parts := []string{v.Value}
		if v.Kind == yaml.SequenceNode {
			parts = nil
			for _, p := range v.Content {
				parts = append(parts, p.Value)
			}
		} else if v.Kind != yaml.ScalarNode {
			mistakes = append(mistakes, fmt.Errorf("%s in %s must be one value, or a list", name, file))
		}
		values[name] = strings.Join(parts, ",")
	}
	return errors.Join(mistakes...)
}

// settings are the names of all settings.
func settings() []string {
	var names []string
	t := reflect.TypeFor[config]()
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("env"); name != "" {
			names = append(names, name)
		}
	}
	return append(names, ignored...)
}

// print writes all settings, secrets hidden.
func (cfg config) print(w io.Writer) {
	shown := cfg.settings()
	for _, name := range settings() {
		if value, is := shown[name]; is {
			fmt.Fprintf(w, "%s=%s\n", name, value)
		}
	}
}

// settings are all settings and their values, secrets hidden.
func (cfg config) settings() record {
	shown := record{}
	v := reflect.ValueOf(cfg)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("env")
		if name == "" {
			continue
		}
		value := fmt.Sprint(v.Field(i).Interface())
		if list, ok := v.Field(i).Interface().([]string); ok {
			value = strings.Join(list, ",")
		}
		switch f.Tag.Get("secret") {
		case "all":
			if value != "" {
				value = "***"
			}
		case "url":
			value = hidePassword(value)
		}
		shown[name] = value
	}
	return shown
}

// hidePassword hides what stands between the colon and the @ of a URL, and a
// password parameter.
func hidePassword(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "***"
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), "***")
	}
	q := u.Query()
	if q.Has("password") {
		q.Set("password", "***")
		u.RawQuery = q.Encode()
	}
	return strings.ReplaceAll(u.String(), "%2A%2A%2A", "***")
}

// checkServe lists all that keeps a gateway from being served with this
// configuration.
func (cfg config) checkServe() error {
	var bad []error
	add := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }

	listeners := map[string]string{"NODOGATE_LISTEN": cfg.Listen, "NODOGATE_ADMIN_LISTEN": cfg.AdminListen, "NODOGATE_PEER_LISTEN": cfg.PeerListen}
	loopback := true
	for _, name := range []string{"NODOGATE_LISTEN", "NODOGATE_ADMIN_LISTEN", "NODOGATE_PEER_LISTEN"} {
		addr := listeners[name]
		if addr == "" {
			continue
		}
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			add("%s must be host:port", name)
			continue
		}
		loopback = loopback && isLoopback(host)
	}
	if slices.ContainsFunc(cfg.Faces, func(f string) bool { return f != "creditor" && f != "node" }) {
		add("NODOGATE_FACES lists creditor and node, nothing else")
	}
	if scheme, _, ok := strings.Cut(cfg.DatabaseURL, "://"); !ok || !slices.Contains([]string{"sqlite", "postgres", "postgresql"}, scheme) {
		add("NODOGATE_DATABASE_URL must be sqlite://path or postgres://…")
	}
	if cfg.APIRate < 1 {
		add("NODOGATE_API_RATE must be 1 or more requests a minute")
	}
	if cfg.RedisURL != "" {
		if client, err := cache.NewClient(cfg.RedisURL); err != nil {
			add("NODOGATE_REDIS_URL %w", err)
		} else if err := client.Close(); err != nil {
			add("NODOGATE_REDIS_URL: %w", err)
		}
	}
	switch cfg.PeerAuth {
	case "none":
		if !loopback {
			add("NODOGATE_PEER_AUTH=none is for loopback listeners only; use mtls or key")
		}
	case "key":
		if len(cfg.PeerKey) < 16 {
			add("NODOGATE_PEER_AUTH=key needs NODOGATE_PEER_KEY of 16 characters or more")
		}
	case "mtls":
		switch {
		case cfg.PeerCertHeader != "":
			if len(cfg.TrustedProxies) == 0 || cfg.PeerCA == "" {
				add("NODOGATE_PEER_CERT_HEADER needs NODOGATE_TRUSTED_PROXIES and NODOGATE_PEER_CA: only the proxy may set it")
			}
		case cfg.PeerListen == "" || cfg.PeerCA == "" || cfg.TLSCert == "" || cfg.TLSKey == "":
			add("NODOGATE_PEER_AUTH=mtls needs NODOGATE_PEER_LISTEN, NODOGATE_PEER_CA, NODOGATE_TLS_CERT and NODOGATE_TLS_KEY; use key, or none on loopback, without them")
		}
	default:
		add("NODOGATE_PEER_AUTH is mtls, key or none")
	}
	if _, err := parseProxies(cfg.TrustedProxies); err != nil {
		bad = append(bad, err)
	}
	if (cfg.TLSCert == "") != (cfg.TLSKey == "") {
		add("NODOGATE_TLS_CERT and NODOGATE_TLS_KEY go together")
	}
	for name, file := range map[string]string{"NODOGATE_TLS_CERT": cfg.TLSCert, "NODOGATE_TLS_KEY": cfg.TLSKey, "NODOGATE_PEER_CA": cfg.PeerCA} {
		if file != "" {
			if _, err := os.Stat(file); err != nil {
				add("%s: %w", name, err)
			}
		}
	}
	if cfg.PublicURL != "" {
		if u, err := url.Parse(cfg.PublicURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			add("NODOGATE_PUBLIC_URL must be an origin like https://pagamenti.example")
		} else if u.Scheme == "http" && !isLoopback(u.Hostname()) {
			add("NODOGATE_PUBLIC_URL must be https, but on loopback")
		}
	}
	if cfg.Broker != "" {
		if _, err := gateway.ParseSchoolCode(cfg.Broker); err != nil {
			add("NODOGATE_BROKER must be an 11-digit fiscal code")
		}
	}
	if cfg.Station != "" && !stationForm.MatchString(cfg.Station) {
		add("NODOGATE_STATION must be a station like 80014480828_01")
	}
	if cfg.SMTPURL != "" {
		if _, err := notify.NewSMTP(cfg.SMTPURL); err != nil {
			add("NODOGATE_SMTP_URL: %w", err)
		}
	}
	if cfg.MailFrom != "" {
		if a, err := mail.ParseAddress(cfg.MailFrom); err != nil || a.Address != cfg.MailFrom {
			add("NODOGATE_MAIL_FROM must be an address like no-reply@pagamenti.example")
		}
	}
	switch {
	case cfg.ACAURL != "":
		if _, err := notify.NewArchive(cfg.ACAURL, cfg.ACAKey, cfg.AllowPrivate); err != nil {
			add("NODOGATE_ACA_URL, NODOGATE_ACA_KEY: %w", err)
		}
	case cfg.ACAKey != "":
		add("NODOGATE_ACA_KEY goes with NODOGATE_ACA_URL")
	}
	switch {
	case cfg.AFMURL != "":
		if _, err := afm.ParseURL(cfg.AFMURL, cfg.AllowPrivate); err != nil {
			add("NODOGATE_AFM_URL: %w", err)
		}
	case cfg.AFMKey != "":
		add("NODOGATE_AFM_KEY goes with NODOGATE_AFM_URL")
	}
	if _, err := cfg.appIO(); err != nil {
		add("%w", err)
	}
	if cfg.HelpMail != "" {
		if a, err := mail.ParseAddress(cfg.HelpMail); err != nil || a.Address != cfg.HelpMail {
			add("NODOGATE_HELP_MAIL must be an address like assistenza@pagamenti.example")
		}
	}
	if cfg.set["NODOGATE_PSPS"] {
		if _, err := os.Stat(cfg.PSPs); err != nil {
			add("NODOGATE_PSPS: %w", err)
		}
	}
	if _, err := cfg.identityEntries(os.Getenv); err != nil {
		add("%w", err)
	}
	bad = append(bad, cfg.misread...)
	slices.SortFunc(bad, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(bad...)
}

// stationForm is idStation: the broker's fiscal code and two digits.
var stationForm = regexp.MustCompile(`^[0-9]{11}_[0-9]{2}$`)

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
