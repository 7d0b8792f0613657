// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/gin-gonic/gin"
	"golang.org/x/text/unicode/norm"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/sheet"
)

// readTable reads a body that is a small table: it is worked on at once.
func (k *call) readTable(c *gin.Context) error {
	t, _, err := mime.ParseMediaType(c.Request.Header.Get("Content-Type"))
	if err != nil || !uploadTypes[t] || c.Request.Header.Get("Content-Encoding") != "" {
		return problemMediaType
	}
	data, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBody))
	if errors.As(err, new(*http.MaxBytesError)) {
		return problemTooLarge
	}
	if err != nil {
		return wrong("body", "syntax", "the body was cut on its way")
	}
	k.table = data
	c.Request.Body, c.Request.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	k.print = sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%x", c.Request.Method, c.Request.URL.Path, c.Request.URL.Query().Encode(), sha256.Sum256(data)))
	return nil
}

// registryColumns are what the columns of a table of pupils and payers are
// called, small and without accents and punctuation.
var registryColumns = map[string][]string{
	"id":                {"id", "pupil", "pupil id", "alunno", "id alunno", "codice alunno", "matricola"},
	"fiscal_code":       {"fiscal code", "codice fiscale", "cf", "cf alunno", "codice fiscale alunno", "codice fiscale dell alunno"},
	"first_name":        {"first name", "nome", "nome alunno", "nome dell alunno"},
	"last_name":         {"last name", "cognome", "cognome alunno", "cognome dell alunno"},
	"class":             {"class", "classe", "classe e sezione"},
	"school_year":       {"school year", "anno scolastico", "a s"},
	"kind":              {"kind", "tipo", "ruolo"},
	"payer_id":          {"payer", "payer id", "id pagante", "id genitore", "id versante", "id tutore"},
	"payer_fiscal_code": {"payer fiscal code", "cf pagante", "cf genitore", "codice fiscale pagante", "codice fiscale genitore", "codice fiscale versante", "codice fiscale tutore"},
	"payer_first_name":  {"payer first name", "nome pagante", "nome genitore", "nome versante", "nome tutore"},
	"payer_last_name":   {"payer last name", "cognome pagante", "cognome genitore", "cognome versante", "cognome tutore"},
	"payer_email":       {"payer email", "email", "e mail", "mail", "posta elettronica", "email pagante", "email genitore", "email versante", "email tutore"},
	"payer_relation":    {"payer relation", "relation", "relazione", "rapporto", "parentela", "grado di parentela", "relazione genitore"},
	"payer_language":    {"payer language", "language", "lingua"},
}

var italianRelations = map[string]string{
	"madre": "mother", "padre": "father", "tutore": "guardian", "tutrice": "guardian", "affidatario": "guardian", "affidataria": "guardian",
	"se stesso": "self", "stesso": "self", "interessato": "self", "interessata": "self", "altro": "other", "altra": "other",
}

var italianKinds = map[string]string{
	"alunno": "pupil", "alunna": "pupil", "studente": "pupil", "studentessa": "pupil", "personale": "staff", "docente": "staff", "ata": "staff",
	"adulto": "adult", "adulta": "adult", "corsista": "adult",
}

// personKind is what a cell calls a person; unknown words are refused later.
func personKind(cell string) string {
	word := strings.ToLower(cell)
	if english, ok := italianKinds[word]; ok {
		return english
	}
	return word
}

// plainName is a name of a column without what varies in it.
func plainName(s string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(strings.ToLower(strings.NewReplacer("_", " ").Replace(s))) {
		switch {
		case unicode.Is(unicode.Mn, r):
		case unicode.IsLetter(r), unicode.IsDigit(r):
			b.WriteRune(r)
		default:
			b.WriteByte(' ')
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func registryColumn(name string) string {
	p := plainName(name)
	for field, names := range registryColumns {
		if slices.Contains(names, p) || p == strings.ReplaceAll(field, "_", " ") {
			return field
		}
	}
	return ""
}

// readRegistry makes lines of a table.
func readRegistry(data []byte) ([]gateway.RegistryRow, error) {
	rows, err := sheet.Open(bytes.NewReader(data), int64(len(data)), sheet.Options{Score: func(cells []string) (n int) {
		for _, c := range cells {
			if registryColumn(c) != "" {
				n++
			}
		}
		return n
	}})
	if err != nil {
		return nil, fileProblem(err)
	}
	var columns []string // the field of each; empty: none of ours
	var bad gateway.Invalid
	var out []gateway.RegistryRow
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		switch {
		case err != nil:
			return nil, fileProblem(err)
		case row.Err != nil:
			bad.Add(fmt.Sprintf("rows[%d]", row.Number), row.Err.Code, row.Err.Message)
			continue
		case row.Empty():
			continue
		}
		names := columns
		if row.Names != nil { // each row names its own
			if names, err = registryNames(row.Names); err != nil {
				return nil, err
			}
		} else if columns == nil {
			var head []string
			for _, c := range row.Cells {
				head = append(head, c.Text)
			}
			if columns, err = registryNames(head); err != nil {
				return nil, err
			}
			continue
		}
		if len(out) == gateway.MaxRegistryRows {
			return nil, wrong("rows", "length", fmt.Sprintf("at most %d rows: split the file", gateway.MaxRegistryRows))
		}
		out = append(out, registryRow(row, names))
	}
	return out, bad.Err()
}

// registryNames finds the columns, and says which are missing or stand twice.
func registryNames(head []string) ([]string, error) {
	var bad gateway.Invalid
	names := make([]string, len(head))
	for i, c := range head {
		names[i] = registryColumn(c)
		if names[i] != "" && slices.Contains(names[:i], names[i]) {
			bad.Add("columns."+names[i], "duplicate", "two columns say this: leave one out, or call the payer's columns codice fiscale genitore and so on")
		}
	}
	for _, required := range []string{"fiscal_code", "first_name", "last_name"} {
		if !slices.Contains(names, required) {
			bad.Add("columns."+required, "required", "there is no such column; the names that are known are in /api/docs")
		}
	}
	return names, bad.Err()
}

func registryRow(row *sheet.Row, names []string) gateway.RegistryRow {
	v := map[string]string{}
	payer := false
	for i, c := range row.Cells {
		if i < len(names) && names[i] != "" {
			v[names[i]] = strings.TrimSpace(c.Text)
			payer = payer || strings.HasPrefix(names[i], "payer_") && v[names[i]] != ""
		}
	}
	r := gateway.RegistryRow{Row: row.Number, Pupil: gateway.NewPupil{
		ID: v["id"], Code: v["fiscal_code"], FirstName: v["first_name"], LastName: v["last_name"], Class: v["class"], SchoolYear: schoolYear(v["school_year"]),
		Kind: personKind(v["kind"]),
	}}
	if payer {
		relation := strings.ToLower(v["payer_relation"])
		if english, ok := italianRelations[relation]; ok {
			relation = english
		}
		if relation == "" {
			relation = "other"
		}
		r.Payer = &gateway.NewPayer{
			ID: v["payer_id"], Code: v["payer_fiscal_code"], FirstName: v["payer_first_name"], LastName: v["payer_last_name"],
			Email: v["payer_email"], Language: strings.ToLower(v["payer_language"]), Relation: relation,
		}
	}
	return r
}

// schoolYear reads 2026/2027 and 2026-27 as 2026/27.
func schoolYear(s string) string {
	s = strings.ReplaceAll(s, "-", "/")
	if first, second, ok := strings.Cut(s, "/"); ok && len(second) == 4 {
		return first + "/" + second[2:]
	}
	return s
}

// registryImport is the answer to a table.
type registryImport struct {
	Rows      int  `json:"rows"`
	Enrolled  int  `json:"enrolled"`
	Changed   int  `json:"changed"`
	Unchanged int  `json:"unchanged"`
	Linked    int  `json:"linked"`
	DryRun    bool `json:"dry_run"`
}

func visitRegistryImport(r registryImport, w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	return json.NewEncoder(w).Encode(r)
}

// importRegistry is routed by hand, like createImport.
func (h *handlers) importRegistry(c *gin.Context) {
	k := callOf(c.Request.Context())
	run := h.once(func(c *gin.Context, _ any) (any, error) {
		rows, err := readRegistry(k.table)
		if err != nil {
			return nil, err
		}
		dryRun := c.Query("dry_run") == "true"
		out, err := h.svc.EnrolMany(c.Request.Context(), k.caller.actor(), gateway.SchoolCode(c.Param("cf")), rows, dryRun)
		return registryImport{out.Rows, out.Enrolled, out.Changed, out.Unchanged, out.Linked, dryRun}, err
	}, "importRegistry")
	if _, err := run(c, nil); err != nil {
		h.fail(c, err)
	}
}
