// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/sheet"
)

var problemFileTooLarge = problem{413, "file_too_large", "The file is too large", "Send at most 64 MB; split it."}

// longTime bounds a request that carries a file, either way: a school's line may
// be slow.
const longTime = 15 * time.Minute

// carriesFile says whether a route's request or answer may be long. The
// operation is not looked up yet when this is asked.
func carriesFile(method, path string) bool {
	return strings.Contains(path, "/exports/") || method == http.MethodPost && strings.HasSuffix(path, "/imports")
}

// uploadTypes are the media types of files that are taken. What a file is, its
// bytes say: programs and browsers call CSV and workbooks all of these.
var uploadTypes = map[string]bool{
	"text/csv": true, "text/tab-separated-values": true, "text/plain": true, "application/csv": true, "application/vnd.ms-excel": true,
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": true,
	"application/x-ndjson": true, "application/ndjson": true, "application/jsonl": true, "application/octet-stream": true,
}

// readUpload streams the body into the store before anything is made of it.
func (h *handlers) readUpload(c *gin.Context, k *call) error {
	t, _, err := mime.ParseMediaType(c.Request.Header.Get("Content-Type"))
	if err != nil || !uploadTypes[t] || c.Request.Header.Get("Content-Encoding") != "" {
		return problemMediaType
	}
	if c.Request.ContentLength > gateway.MaxUpload {
		return problemFileTooLarge // before it is sent for nothing
	}
	body := bufio.NewReaderSize(http.MaxBytesReader(c.Writer, c.Request.Body, gateway.MaxUpload), 4096)
	head, err := body.Peek(1024)
	if err != nil && !errors.Is(err, io.EOF) {
		return cutBody(err)
	}
	if _, err := sheet.Detect(head); err != nil {
		return fileProblem(err)
	}
	ctx := c.Request.Context()
	if k.upload, err = h.svc.StoreUpload(ctx, gateway.SchoolCode(c.Param("cf")), body); err != nil {
		return cutBody(err)
	}
	c.Request.Body, c.Request.ContentLength = http.NoBody, 0
	k.print = sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%x", c.Request.Method, c.Request.URL.Path, c.Request.URL.Query().Encode(), k.upload.Digest))
	return nil
}

// cutBody is what a body that cannot be read means.
func cutBody(err error) error {
	var net interface{ Timeout() bool }
	switch {
	case errors.As(err, new(*http.MaxBytesError)), errors.Is(err, gateway.ErrTooLarge):
		return problemFileTooLarge
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &net) && net.Timeout():
		return wrong("body", "syntax", "the body was cut on its way")
	}
	return err
}

// fileProblem is what a file that no worker need look at means.
func fileProblem(err error) error {
	var e *sheet.Error
	if errors.As(err, &e) {
		return wrong("body", e.Code, e.Message)
	}
	return err
}

// createImport is routed by hand: what is generated for a body of several types
// would read it again.
func (h *handlers) createImport(c *gin.Context) {
	k := callOf(c.Request.Context())
	taken := false
	defer func() {
		if k.upload.ID == "" || taken {
			return
		}
		if err := h.svc.DropUpload(c.Request.Context(), gateway.SchoolCode(c.Param("cf")), k.upload.ID); err != nil {
			h.log.Warn("drop an upload", "request_id", k.id, "err", err) // a job does it later
		}
	}()
	run := h.once(func(c *gin.Context, _ any) (any, error) {
		out, err := h.beginImport(c.Request.Context(), c, k)
		// Also when the commit's answer is lost: the import may be there.
		taken = err == nil
		return out, err
	}, "createImport")
	if _, err := run(c, nil); err != nil {
		h.fail(c, err)
	}
}

func (h *handlers) beginImport(ctx context.Context, c *gin.Context, k *call) (any, error) {
	in := gateway.NewImport{
		Upload: k.upload, DryRun: c.Query("dry_run") == "true", OnError: gateway.OnError(c.Query("on_error")), Sheet: c.Query("sheet"),
	}
	if m := c.Query("mapping"); m != "" {
		var err error
		if in.Mapping, err = readMapping(m); err != nil {
			return nil, err
		}
		if h.checkMapping != nil {
			if err := h.checkMapping(in.Mapping); err != nil {
				return nil, wrong("mapping", "unknown", err.Error())
			}
		}
	}
	cf := c.Param("cf")
	imp, err := h.svc.CreateImport(ctx, k.caller.actor(), gateway.SchoolCode(cf), in)
	if err != nil {
		return nil, err
	}
	return importCreated{importOf(imp), "/api/v1/schools/" + cf + "/imports/" + imp.ID}, nil
}

func readMapping(s string) (map[string]string, error) {
	v, err := readJSON([]byte(s))
	if err != nil {
		return nil, wrong("mapping", "syntax", `give a JSON object like {"amount":"Quota"}`)
	}
	object, ok := v.(map[string]any)
	if !ok || len(object) == 0 {
		return nil, wrong("mapping", "syntax", `give a JSON object like {"amount":"Quota"}`)
	}
	m := make(map[string]string, len(object))
	for k, v := range object {
		text, ok := v.(string)
		if !ok {
			return nil, wrong("mapping", "type", "the names of columns must be strings")
		}
		m[k] = text
	}
	return m, nil
}

type importCreated struct {
	body     Import
	location string
}

func visitImportCreated(r importCreated, w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Location", r.location)
	w.WriteHeader(http.StatusAccepted)
	return json.NewEncoder(w).Encode(r.body)
}

func (h *handlers) GetImport(ctx context.Context, r GetImportRequestObject) (GetImportResponseObject, error) {
	ctx, _ = begin(ctx)
	imp, err := h.svc.Import(ctx, gateway.SchoolCode(r.Cf), r.ID)
	if err != nil {
		return nil, err
	}
	out := importOf(imp)
	return GetImport200JSONResponse{out, GetImport200ResponseHeaders{tagOf(out)}}, nil
}

func (h *handlers) ListImports(ctx context.Context, r ListImportsRequestObject) (ListImportsResponseObject, error) {
	ctx, _ = begin(ctx)
	limit := pageSize(r.Params.Limit)
	list := "imports " + r.Cf
	before, err := h.position(list, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	found, err := h.svc.Imports(ctx, gateway.SchoolCode(r.Cf), before, limit+1)
	if err != nil {
		return nil, err
	}
	found, next := page(h, list, found, limit, func(i gateway.Import) string { return i.ID })
	out := ListImports200JSONResponse{Items: make([]Import, len(found)), NextCursor: next}
	for i, imp := range found {
		out.Items[i] = importOf(imp)
	}
	return out, nil
}

func (h *handlers) ListImportErrors(ctx context.Context, r ListImportErrorsRequestObject) (ListImportErrorsResponseObject, error) {
	ctx, _ = begin(ctx)
	limit := pageSize(r.Params.Limit)
	list := "import errors " + r.Cf + " " + r.ID
	after, err := h.before(list, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	found, err := h.svc.ImportErrors(ctx, gateway.SchoolCode(r.Cf), r.ID, after, limit+1)
	if err != nil {
		return nil, err
	}
	found, next := page(h, list, found, limit, func(e gateway.ImportError) string { return strconv.FormatInt(e.Seq, 10) })
	out := ListImportErrors200JSONResponse{Items: make([]ImportError, len(found)), NextCursor: next}
	for i, e := range found {
		out.Items[i] = ImportError{
			Row: e.Row, Column: text(e.Column), Field: text(e.Field), Code: e.Code, Message: e.Message, Value: text(e.Value),
			Severity: ImportErrorSeverityError,
		}
		if e.Warning {
			out.Items[i].Severity = ImportErrorSeverityWarning
		}
	}
	return out, nil
}

func importOf(i gateway.Import) Import {
	r := i.Report
	out := Import{
		ID: i.ID, State: ImportState(i.State), DryRun: i.DryRun, OnError: string(i.OnError),
		Rows: i.Rows, Accepted: i.Accepted, Rejected: i.Rejected, Issued: i.Issued, Existed: i.Existed, Warnings: i.Warnings, Progress: i.Progress,
		Format: text(r.Format), Encoding: text(r.Encoding), Separator: text(r.Separator), Sheet: text(r.Sheet), OtherSheets: r.Others,
		HeaderRow: r.HeaderRow, Columns: r.Columns, ColumnsSource: text(r.Source), IgnoredColumns: r.Ignored,
		CreatedAt: i.CreatedAt, FinishedAt: instant(i.FinishedAt),
	}
	if out.OtherSheets == nil {
		out.OtherSheets = []string{}
	}
	if out.IgnoredColumns == nil {
		out.IgnoredColumns = []string{}
	}
	if out.Columns == nil {
		out.Columns = map[string]string{}
	}
	if r.FailedCode != "" {
		out.Failure = &ImportFailure{Code: r.FailedCode, Message: r.FailedText}
	}
	return out
}
