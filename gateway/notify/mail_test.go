// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"errors"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
)

// eml is a mail as it was read back.
type eml struct {
	mail.Header
	parts map[string]string // by media type
}

func readMail(t *testing.T, r io.Reader) eml {
	t.Helper()
	m, err := mail.ReadMessage(r)
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("Content-Type %q, %v", kind, err)
	}
	e := eml{m.Header, map[string]string{}}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if enc := p.Header.Get("Content-Transfer-Encoding"); enc != "quoted-printable" {
			t.Fatalf("a part is encoded as %q", enc)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		e.parts[p.Header.Get("Content-Type")] = strings.ReplaceAll(string(body), "\r\n", "\n")
	}
	return e
}

func (e eml) subject(t *testing.T) string {
	t.Helper()
	s, err := new(mime.WordDecoder).DecodeHeader(e.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const (
	textPart = "text/plain; charset=UTF-8"
	htmlPart = "text/html; charset=UTF-8"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data", "mail")
	o := newOffice(gatewaytest.New(t), func(c *Config) { c.Mailer = Files{dir} })
	o.family()
	n := o.Issue()
	o.Time.Advance(2 * time.Hour)
	o.drain()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v, want 2 and nothing else", len(files), err)
	}
	var to []string
	for _, file := range files {
		info, err := file.Info()
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
		}
		f, err := os.Open(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		e := readMail(t, f)
		id := strings.TrimSuffix(file.Name(), ".eml")
		to = append(to, e.Get("To"))
		for header, want := range map[string]string{
			"From": "<no-reply@pagamenti.example>", "Message-Id": "<" + id + "@pagamenti.example>", "Auto-Submitted": "auto-generated",
			"Date": "Mon, 23 Nov 2026 10:00:00 +0000", "Mime-Version": "1.0", "Subject": "Nuovo avviso di pagamento: IC 6 Grosseto",
		} {
			if got := e.Get(header); got != want {
				t.Errorf("%s: %s, want %s", header, got, want)
			}
		}
		want := []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}
		if got := slices.Sorted(maps.Keys(e.Header)); !slices.Equal(got, want) {
			t.Errorf("headers %q, want %q", got, want)
		}
		for _, part := range []string{textPart, htmlPart} {
			if !strings.Contains(e.parts[part], n.Number.Grouped()) || len(e.parts) != 2 {
				t.Errorf("parts %q: no number in %s", slices.Collect(maps.Keys(e.parts)), part)
			}
		}
	}
	if slices.Sort(to); !slices.Equal(to, []string{"<father@example.org>", "<mother@example.org>"}) {
		t.Errorf("to %q", to)
	}
}

func TestFilesRefuse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := Mail{ID: "m-1", From: mail.Address{Address: "no-reply@pagamenti.example"}, To: "father@example.org", Date: gatewaytest.Start, Subject: "x", Text: "x", HTML: "x"}
	for name, change := range map[string]func(*Mail){
		"a path for an id":   func(m *Mail) { m.ID = "../m-1" },
		"a folder in the id": func(m *Mail) { m.ID = "a/m-1" },
		"no address":         func(m *Mail) { m.To = "father" },
		"two lines":          func(m *Mail) { m.To = "father@example.org\r\nBcc: x@example.org" },
		"two addresses":      func(m *Mail) { m.To = "father@example.org, x@example.org" },
	} {
		m := good
		change(&m)
		err := Files{dir}.Send(t.Context(), m)
		if !errors.Is(err, ErrPermanent) || strings.Contains(err.Error(), "father") {
			t.Errorf("%s: %v, want a permanent failure without the address", name, err)
		}
	}
	// A folder that cannot be made may be made later.
	blocked := filepath.Join(dir, "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (Files{blocked}).Send(t.Context(), good); err == nil || errors.Is(err, ErrPermanent) {
		t.Errorf("a blocked folder: %v, want a temporary failure", err)
	}
}

// Texts of people stay texts, whatever they hold.
func TestInjection(t *testing.T) {
	t.Parallel()
	const evil = "\"><script>alert(1)</script>\r\nBcc: evil@example.org\r\n\r\n<img src=x> \u2028--\x00{{.}}"
	dir := t.TempDir()
	o := newOffice(gatewaytest.New(t), func(c *Config) { c.Mailer = Files{dir} })
	o.family()
	ctx := t.Context()
	school, err := o.Service.School(ctx, gatewaytest.SchoolCode)
	if err != nil {
		t.Fatal(err)
	}
	// Straight into the store: the domain would have cleaned it.
	school.Code, school.Broker, school.Station = gatewaytest.OtherCode, string(gatewaytest.OtherCode), string(gatewaytest.OtherCode)+"_01"
	school.Name, school.HelpText = "Scuola à"+evil, evil
	err = o.Store.Update(ctx, func(tx gateway.Tx) error {
		for _, err := range []error{
			tx.InsertSchool(school),
			tx.PutPupil(gateway.Pupil{School: school.Code, ID: "p1", Code: gatewaytest.PupilCode, FirstName: "Maria" + evil}),
			tx.PutPayer(gateway.Payer{School: school.Code, ID: "y1", Code: gatewaytest.ParentCode, Email: "evil-free@example.org", Language: "../it"}),
			tx.LinkPayer(gateway.Link{School: school.Code, Pupil: "p1", Payer: "y1", Since: o.Now(), By: gatewaytest.Operator}),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n := o.IssueAt(school.Code, func(n *gateway.NewNotice) { n.Description = "Gita" + evil })
	o.drain()
	o.Settle(n, "")
	o.drain()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		f, err := os.Open(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		e := readMail(t, f)
		want := []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}
		if got := slices.Sorted(maps.Keys(e.Header)); !slices.Equal(got, want) || len(e.parts) != 2 {
			t.Errorf("headers %q and %d parts", got, len(e.parts))
		}
		if got := e.subject(t); !strings.HasSuffix(got, `: Scuola à"><script>alert(1)</script> Bcc: evil@example.org <img src=x> -- {{.}}`) {
			t.Errorf("subject %q", got)
		}
		if strings.Contains(e.parts[textPart], "\nBcc:") || !strings.Contains(e.parts[textPart], "Gita\"><script>alert(1)</script> Bcc") {
			t.Errorf("text:\n%s", e.parts[textPart])
		}
		for _, tag := range []string{"<script", "<img", "\x00"} {
			if strings.Contains(e.parts[htmlPart], tag) {
				t.Errorf("%q stands in:\n%s", tag, e.parts[htmlPart])
			}
		}
		if !strings.Contains(e.parts[htmlPart], "Gita&#34;&gt;&lt;script&gt;") {
			t.Errorf("no description in:\n%s", e.parts[htmlPart])
		}
	}
}
