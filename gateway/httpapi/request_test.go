// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/nodogate/nodogate/gateway"
)

func TestWrongBodies(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	notices, batch, carts := base+"/notices", base+"/notices/batch", "/api/v1/carts"
	type fields = []string
	for name, tc := range map[string]struct {
		path, body string
		fields     fields
	}{
		"nothing":             {notices, "", fields{"body required"}},
		"null":                {notices, "null", fields{"body required"}},
		"a list":              {notices, "[]", fields{"body type"}},
		"not JSON":            {notices, "{", fields{"body syntax"}},
		"two values":          {notices, noticeJSON() + "{}", fields{"body syntax"}},
		"trailing comma":      {notices, `{"description":"x",}`, fields{"body syntax"}},
		"byte order mark":     {notices, "\xef\xbb\xbf" + noticeJSON(), fields{"body syntax"}},
		"not UTF-8":           {notices, "{\"description\":\"\xe0\"}", fields{"body syntax"}},
		"too deep":            {notices, strings.Repeat("[", 40) + strings.Repeat("]", 40), fields{"body syntax"}},
		"half a surrogate":    {notices, noticeJSON("description", `"a\ud800b"`), fields{"description format"}},
		"NUL":                 {notices, noticeJSON("description", `"a\u0000b"`), fields{"description format"}},
		"a field twice":       {notices, `{"description":"a","description":"b"}`, fields{"description duplicate"}},
		"twice, deep":         {notices, `{"debtor":{"class":"3A","class":"3B"}}`, fields{"debtor.class duplicate"}},
		"unknown field":       {notices, noticeJSON("foo", "1"), fields{"foo unknown"}},
		"other case":          {notices, noticeJSON("Description", `"x"`), fields{"Description unknown"}},
		"camel case":          {notices, noticeJSON("externalId", `"x"`), fields{"externalId unknown"}},
		"digits as field":     {notices, noticeJSON("80014480828", `"x"`), fields{"… unknown"}},
		"a code as field":     {notices, noticeJSON("RSSMRA10A41H501F", `"x"`), fields{"… unknown"}},
		"unknown, deep":       {notices, noticeJSON("debtor", `{"fiscal_code":"RSSMRA10A41H501F","full_name":"M","foo":1}`), fields{"debtor.foo unknown"}},
		"read-only field":     {notices, noticeJSON("status", `"paid"`), fields{"status unknown"}},
		"nothing in it":       {notices, "{}", fields{"debtor required", "description required", "amount_cents required", "due_date required"}},
		"number as number":    {notices, noticeJSON("number", "301202600000004244"), fields{"number type"}},
		"code as number":      {notices, noticeJSON("debtor", `{"fiscal_code":80014480828,"full_name":"M"}`), fields{"debtor.fiscal_code type"}},
		"amount as text":      {notices, noticeJSON("amount_cents", `"1650"`), fields{"amount_cents type"}},
		"amount in euro":      {notices, noticeJSON("amount_cents", "16.50"), fields{"amount_cents type"}},
		"amount 1650.0":       {notices, noticeJSON("amount_cents", "1650.0"), fields{"amount_cents type"}},
		"amount 1e3":          {notices, noticeJSON("amount_cents", "1e3"), fields{"amount_cents type"}},
		"amount 0":            {notices, noticeJSON("amount_cents", "0"), fields{"amount_cents range"}},
		"amount below 0":      {notices, noticeJSON("amount_cents", "-1650"), fields{"amount_cents range"}},
		"amount too large":    {notices, noticeJSON("amount_cents", "100000000000"), fields{"amount_cents range"}},
		"amount beyond int64": {notices, noticeJSON("amount_cents", "99999999999999999999"), fields{"amount_cents range"}},
		"null description":    {notices, noticeJSON("description", "null"), fields{"description required"}},
		"empty description":   {notices, noticeJSON("description", `" "`), fields{"description required"}},
		"a code in the text":  {notices, noticeJSON("description", `"Gita di RSSMRA10A41H501F"`), fields{"description personal_data"}},
		"Italian date":        {notices, noticeJSON("due_date", `"31/12/2026"`), fields{"due_date format"}},
		"no such day":         {notices, noticeJSON("due_date", `"2026-02-30"`), fields{"due_date format"}},
		"unknown deduction":   {notices, noticeJSON("deduction", `"x"`), fields{"deduction unknown"}},
		"wrong check letter":  {notices, noticeJSON("debtor", `{"fiscal_code":"RSSMRA10A41H501X","full_name":"M"}`), fields{"debtor.fiscal_code check_letter"}},
		"wrong check digits":  {notices, noticeJSON("number", `"301202600000004245"`), fields{"number check_digits"}},
		"six transfers":       {notices, noticeJSON("transfers", `[`+strings.TrimSuffix(strings.Repeat(`{"amount_cents":275},`, 6), ",")+`]`), fields{"transfers length"}},
		"transfers' sum":      {notices, noticeJSON("transfers", `[{"amount_cents":1}]`), fields{"transfers sum"}},
		"empty batch":         {batch, `{"notices":[]}`, fields{"notices length"}},
		"1,001 notices":       {batch, `{"notices":[` + strings.TrimSuffix(strings.Repeat(noticeJSON()+",", 1001), ",") + `]}`, fields{"notices length"}},
		"batch, schema": {batch, `{"notices":[` + noticeJSON() + `,` + noticeJSON("amount_cents", `"x"`, "foo", "1") + `]}`,
			fields{"notices[1].amount_cents type", "notices[1].foo unknown"}},
		"batch, domain": {batch, `{"notices":[` + noticeJSON() + `,` + noticeJSON("due_date", `"1999-01-01"`) + `]}`, fields{"notices[1].due_date format"}},
		"batch, the same twice": {batch, `{"notices":[` + noticeJSON("external_id", `"a"`) + `,` + noticeJSON("external_id", `"a"`) + `]}`,
			fields{"notices[1].external_id duplicate"}},
		"search without":     {notices + "/search", `{}`, fields{"debtor required"}},
		"search for nonsens": {notices + "/search", `{"debtor":"x"}`, fields{"debtor format"}},
		"cart of nothing":    {carts, `{"notices":[],"method":"card"}`, fields{"notices length"}},
		"six in a cart": {carts, `{"notices":[` + strings.TrimSuffix(strings.Repeat(`{"school":"80014480828","number":"301202600000004244"},`, 6), ",") + `],"method":"card"}`,
			fields{"notices length"}},
		"no method":     {carts, `{"notices":[{"school":"80014480828","number":"301202600000004244"}]}`, fields{"method required"}},
		"cash":          {carts, `{"notices":[{"school":"80014480828","number":"301202600000004244"}],"method":"cash"}`, fields{"method unknown"}},
		"cart's number": {carts, `{"notices":[{"school":"800","number":"3"}],"method":"card"}`, fields{"notices[0].school format", "notices[0].number format"}},
		"payer's code":  {carts, `{"notices":[{"school":"80014480828","number":"301202600000004244"}],"method":"card","payer":{"fiscal_code":"x"}}`, fields{"payer.fiscal_code format"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := a.post(tc.path, a.school, tc.body)
			p := expect(t, w, 400, "invalid_request", tc.fields...)
			for _, e := range p.Errors {
				if e.Message == "" {
					t.Errorf("%s: no message", e.Field)
				}
			}
			if strings.Contains(w.Body.String(), "RSSMRA") {
				t.Errorf("the answer repeats a person's code: %s", w.Body)
			}
		})
	}
	p := problemIn(t, a.post(notices, a.school, noticeJSON("number", "301202600000004244")))
	if !strings.Contains(p.Errors[0].Message, "JSON strings") {
		t.Errorf("number as a number: %q gives no hint", p.Errors[0].Message)
	}
	if all := as[NoticePage](t, a.get(notices, a.school), 200); len(all.Items) != 0 {
		t.Errorf("refused requests issued %d notices", len(all.Items))
	}
	wrongEverywhere := `{"notices":[` + strings.TrimSuffix(strings.Repeat(noticeJSON("amount_cents", "0")+",", 1000), ",") + `]}`
	if p := problemIn(t, a.post(batch, a.school, wrongEverywhere)); len(p.Errors) != maxErrors || !strings.Contains(p.Detail, "of 1000") {
		t.Errorf("a batch wrong everywhere: %d errors, %q", len(p.Errors), p.Detail)
	}
}

func TestWrongRequests(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	n := a.g.Issue()
	notice := base + "/notices/" + n.Number.String()
	long := strings.Repeat("k", 256)
	withTwo := httptest.NewRequest("POST", notice+"/cancel", nil)
	withTwo.Header.Set("Authorization", "Bearer "+a.school)
	withTwo.Header["Idempotency-Key"] = []string{"a", "b"}
	for name, tc := range map[string]struct {
		w      *httptest.ResponseRecorder
		status int
		code   string
		fields []string
	}{
		"no such path":         {a.get("/api/v1/pupils", a.school), 404, "no_such_path", nil},
		"trailing slash":       {a.get(base+"/notices/", a.school), 404, "no_such_path", nil},
		"other method":         {a.post(base, a.school, "{}"), 405, "method_not_allowed", nil},
		"no key":               {a.post(notice+"/cancel", a.school, "", "Idempotency-Key", ""), 400, "invalid_request", []string{"Idempotency-Key required"}},
		"two keys":             {a.do(withTwo), 400, "invalid_request", []string{"Idempotency-Key format"}},
		"long key":             {a.post(notice+"/cancel", a.school, "", "Idempotency-Key", long), 400, "invalid_request", []string{"Idempotency-Key format"}},
		"key not ASCII":        {a.post(notice+"/cancel", a.school, "", "Idempotency-Key", "à"), 400, "invalid_request", []string{"Idempotency-Key format"}},
		"text/plain":           {a.post(base+"/notices", a.school, noticeJSON(), "Content-Type", "text/plain"), 415, "unsupported_media_type", nil},
		"no type":              {a.post(base+"/notices", a.school, noticeJSON(), "Content-Type", ""), 415, "unsupported_media_type", nil},
		"Latin-1":              {a.post(base+"/notices", a.school, noticeJSON(), "Content-Type", "application/json; charset=iso-8859-1"), 415, "unsupported_media_type", nil},
		"compressed":           {a.post(base+"/notices", a.school, noticeJSON(), "Content-Encoding", "gzip"), 415, "unsupported_media_type", nil},
		"too large":            {a.post(base+"/notices", a.school, strings.Repeat(" ", maxBody+1)), 413, "body_too_large", nil},
		"cancel with null":     {a.post(notice+"/cancel", a.school, `null`), 400, "invalid_request", []string{"body type"}},
		"cancel with text":     {a.post(notice+"/cancel", a.school, `{}`, "Content-Type", "text/plain"), 415, "unsupported_media_type", nil},
		"cancel with a body":   {a.post(notice+"/cancel", a.school, `{"why":"x"}`), 400, "invalid_request", []string{"why unknown"}},
		"unknown parameter":    {a.get(base+"/notices?statu=open", a.school), 400, "invalid_request", []string{"statu unknown"}},
		"parameter twice":      {a.get(base+"/notices?q=a&q=b", a.school), 400, "invalid_request", []string{"q duplicate"}},
		"a code in q":          {a.get(base+"/notices?q=rssmra10a41h501f", a.school), 400, "invalid_request", []string{"q personal_data"}},
		"a code as pupil":      {a.get(base+"/notices?pupil=RSSMRA10A41H501F", a.school), 400, "invalid_request", []string{"pupil personal_data"}},
		"an empty filter":      {a.get(base+"/notices?class=", a.school), 400, "invalid_request", []string{"class required"}},
		"NUL in a parameter":   {a.get(base+"/notices?q=%00", a.school), 400, "invalid_request", []string{"q format"}},
		"broken parameter":     {a.get(base+"/notices?q=%zz", a.school), 400, "invalid_request", []string{"query syntax"}},
		"limit 0":              {a.get(base+"/notices?limit=0", a.school), 400, "invalid_request", []string{"limit range"}},
		"limit 501":            {a.get(base+"/notices?limit=501", a.school), 400, "invalid_request", []string{"limit range"}},
		"limit many":           {a.get(base+"/notices?limit=many", a.school), 400, "invalid_request", []string{"limit format"}},
		"status":               {a.get(base+"/notices?status=gone", a.school), 400, "invalid_request", []string{"status unknown"}},
		"due_from":             {a.get(base+"/notices?due_from=yesterday", a.school), 400, "invalid_request", []string{"due_from format"}},
		"due_to 1999":          {a.get(base+"/notices?due_to=1999-01-01", a.school), 400, "invalid_request", []string{"due_to format"}},
		"paid_from":            {a.get(base+"/notices?paid_from=x", a.school), 400, "invalid_request", []string{"paid_from format"}},
		"cursor":               {a.get(base+"/notices?cursor=x", a.school), 400, "invalid_request", []string{"cursor format"}},
		"receipts' notice":     {a.get(base+"/receipts?notice=3&from=x", a.school), 400, "invalid_request", []string{"from format", "notice format"}},
		"anomaly":              {a.get(base+"/receipts?anomaly=x", a.school), 400, "invalid_request", []string{"anomaly unknown"}},
		"no amount":            {a.get("/api/v1/payment-methods", a.school), 400, "invalid_request", []string{"amount_cents required"}},
		"amount with a point":  {a.get("/api/v1/payment-methods?amount_cents=1.5", a.school), 400, "invalid_request", []string{"amount_cents format"}},
		"amount 0":             {a.get("/api/v1/payment-methods?amount_cents=0", a.school), 400, "invalid_request", []string{"amount_cents range"}},
		"unknown notice":       {a.get(base+"/notices/301000000000000000", a.school), 404, "not_found", nil},
		"no notice number":     {a.get(base+"/notices/3", a.school), 404, "not_found", nil},
		"events of nothing":    {a.get(base+"/notices/301000000000000000/events", a.school), 404, "not_found", nil},
		"cancel nothing":       {a.post(base+"/notices/301000000000000000/cancel", a.school, ""), 404, "not_found", nil},
		"cancel it, If-Match":  {a.post(base+"/notices/301000000000000000/cancel", a.school, "", "If-Match", `"1"`), 404, "not_found", nil},
		"unknown receipt":      {a.get(base+"/receipts/nothing", a.school), 404, "not_found", nil},
		"NUL in an address":    {a.get(base+"/receipts/%00", a.school), 404, "not_found", nil},
		"unknown cart":         {a.get("/api/v1/carts/nothing", a.school), 404, "not_found", nil},
		"unknown school":       {a.get("/api/v1/schools/80015010723/notices", a.admin), 404, "not_found", nil},
		"no school":            {a.get("/api/v1/schools/x", a.admin), 404, "not_found", nil},
		"wrong school":         {a.post("/api/v1/schools", a.admin, `{"fiscal_code":"1","name":"","iban":"x","segregation_code":"9x"}`), 400, "invalid_request", []string{"fiscal_code format", "name length", "iban format", "segregation_code format"}},
		"school, other data":   {a.post("/api/v1/schools", a.admin, `{"fiscal_code":"80014480828","name":"Other","iban":"IT60X0542811101000000123456","segregation_code":"01"}`), 409, "school_exists", nil},
		"cart of an unknown":   {a.post("/api/v1/carts", a.school, `{"notices":[{"school":"80014480828","number":"301000000000000000"}],"method":"card"}`), 404, "not_found", nil},
		"return elsewhere":     {a.post("/api/v1/carts", a.school, strings.TrimSuffix(cartJSON(n), "}")+`,"return_url":"https://evil.example/"}`), 400, "invalid_request", []string{"return_url format"}},
		"payer's e-mail":       {a.post("/api/v1/carts", a.school, strings.TrimSuffix(cartJSON(n), "}")+`,"payer":{"email":"x"}}`), 400, "invalid_request", []string{"payer.email format"}},
		"PSP for the bulletin": {a.post("/api/v1/carts", a.school, strings.TrimSuffix(cartJSON(n), "}")+`,"psp":"POSTE"}`), 400, "invalid_request", []string{"psp unknown"}},
	} {
		t.Run(name, func(t *testing.T) { expect(t, tc.w, tc.status, tc.code, tc.fields...) })
	}
	if w := a.post(base, a.school, "{}"); w.Header().Get("Allow") != "GET, PATCH" {
		t.Errorf("405: Allow = %q, want GET, PATCH", w.Header().Get("Allow"))
	}
}

func TestJSONIsTakenWithACharset(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	if w := a.post(base+"/notices", a.school, noticeJSON(), "Content-Type", "application/json; charset=UTF-8"); w.Code != 201 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// FuzzReadJSON: what is accepted is JSON, says the same as encoding/json reads,
// and is accepted again when written.
func FuzzReadJSON(f *testing.F) {
	for _, s := range []string{noticeJSON(), `{"a":[1,-2,null,true,"\u00e0"]}`, `{"a":1,"a":2}`, `1.0`, `"\ud800"`, `[[[]]]`, "\xef\xbb\xbf1", `{"a":{"b":[{"c":1}]}}`, `1 2`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := readJSON(data)
		if err != nil {
			if !errors.As(err, new(*gateway.Invalid)) {
				t.Fatalf("readJSON(%q): %T %v is not for the caller", data, err, err)
			}
			return
		}
		dec := json.NewDecoder(strings.NewReader(string(data)))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil || !reflect.DeepEqual(v, want) {
			t.Fatalf("readJSON(%q) = %v, encoding/json reads %v, %v", data, v, want, err)
		}
		again, err := json.Marshal(v)
		must(t, err)
		if w, err := readJSON(again); err != nil || !reflect.DeepEqual(v, w) {
			t.Fatalf("readJSON(%q) = %v, written and read again %v, %v", data, v, w, err)
		}
	})
}
