// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// The folder vendor is there only after make assets.
//
//go:embed static
var staticFiles embed.FS

// assets serves the files of static/, whole or compressed. Pages ask for them
// with the digest of their content, so that browsers may keep them for good.
type assets struct{ files map[string]*asset }

type asset struct {
	kind, digest string
	body         []byte
	compressed   func() []byte // nil when it would not help
}

// kinds are fixed here: the system's own table of types may lack one.
var kinds = map[string]string{
	".css":   "text/css; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".svg":   "image/svg+xml",
	".woff2": "font/woff2",
	".jpg":   "image/jpeg",
	".txt":   "text/plain; charset=utf-8",
}

const vendorStyle = "vendor/bootstrap-italia.min.css"

func loadAssets() (*assets, error) {
	root, err := fs.Sub(staticFiles, "static")
	if err != nil {
		return nil, err
	}
	a := &assets{map[string]*asset{}}
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		f := &asset{kind: cmp.Or(kinds[path.Ext(name)], "application/octet-stream")}
		f.set(body)
		a.files[name] = f
		return nil
	})
	if err != nil {
		return nil, err
	}
	for name, f := range a.files {
		if path.Ext(name) == ".css" {
			f.set(a.addressed(f.body))
		}
	}
	return a, nil
}

// set gives the file its content.
func (f *asset) set(body []byte) {
	sum := sha256.Sum256(body)
	f.body, f.digest, f.compressed = body, hex.EncodeToString(sum[:6]), nil
	if base, _, _ := mime.ParseMediaType(f.kind); strings.HasPrefix(base, "text/") || base == "image/svg+xml" {
		f.compressed = sync.OnceValue(func() []byte { return compress(body) })
	}
}

var cssURL = regexp.MustCompile(`url\("/static/([^"]+)"\)`)

// addressed is a style sheet that asks for other files with their digests, as
// pages do: a font that was preloaded under another address would come twice.
// fonts.css may name files that make assets did not fetch; it is not used then.
func (a *assets) addressed(style []byte) []byte {
	return cssURL.ReplaceAllFunc(style, func(found []byte) []byte {
		to, err := a.address(string(cssURL.FindSubmatch(found)[1]))
		if err != nil {
			return found
		}
		return fmt.Appendf(nil, "url(%q)", to)
	})
}

func compress(body []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(body); err != nil {
		panic("portal: " + err.Error()) // memory does not refuse
	}
	if err := w.Close(); err != nil {
		panic("portal: " + err.Error())
	}
	return buf.Bytes()
}

// address is where a page finds a file. A file that does not exist is a
// mistake in a template.
func (a *assets) address(name string) (string, error) {
	f, ok := a.files[name]
	if !ok {
		return "", fmt.Errorf("no asset %s", name)
	}
	return "/static/" + name + "?v=" + f.digest, nil
}

// styles are the style sheets in their order. plain.css stands in for
// Bootstrap Italia.
func (a *assets) styles() ([]string, error) {
	names := []string{"plain.css", "app.css"}
	if _, ok := a.files[vendorStyle]; ok {
		names = []string{vendorStyle, "fonts.css", "app.css"}
	}
	for i := range names {
		var err error
		if names[i], err = a.address(names[i]); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// fonts are the fonts that every page needs: it asks for them before it has read
// the style sheets.
func (a *assets) fonts() ([]string, error) {
	var list []string
	for name := range a.files {
		if path.Ext(name) == ".woff2" {
			to, err := a.address(name)
			if err != nil {
				return nil, err
			}
			list = append(list, to)
		}
	}
	slices.Sort(list)
	return list, nil
}

func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := a.files[r.URL.Path]
	switch {
	case !ok:
		http.Error(w, "Pagina non trovata", http.StatusNotFound)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Metodo non ammesso", http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "public, max-age=86400")
	if r.URL.Query().Get("v") == f.digest {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body := f.body
	if f.compressed != nil {
		h.Set("Vary", "Accept-Encoding")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = f.compressed()
		}
	}
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // a browser that went away
	}
}
