// SPDX-License-Identifier: Apache-2.0

package soap

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

// ContentType is what a SOAP 1.1 message over HTTP is sent as.
const ContentType = "text/xml; charset=utf-8"

// ReadBody reads the message of a request. Status is 200 and body holds it, or
// status is what to answer with nothing else: 405, 415, 413, or 400 when the
// connection broke. Headers the answer needs are set on w.
func ReadBody(w http.ResponseWriter, r *http.Request) (body []byte, status int) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, http.StatusMethodNotAllowed
	}
	types := r.Header.Values("Content-Type")
	if len(types) != 1 || len(r.Header.Values("Content-Encoding")) > 0 {
		return nil, http.StatusUnsupportedMediaType
	}
	media, params, err := mime.ParseMediaType(types[0])
	charset, given := params["charset"]
	if err != nil || media != "text/xml" && media != "application/xml" || given && !strings.EqualFold(charset, "utf-8") {
		return nil, http.StatusUnsupportedMediaType
	}
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, http.StatusRequestEntityTooLarge
	case err != nil:
		return nil, http.StatusBadRequest
	}
	return body, http.StatusOK
}

// ActionAgrees says that the SOAPAction header does not contradict the
// operation (its name in the WSDL). Absent, empty and `""` say nothing; any
// other value is the bare name, quoted or not.
func ActionAgrees(h http.Header, operation string) bool {
	actions := h.Values("SOAPAction")
	if len(actions) > 1 {
		return false
	}
	if len(actions) == 0 || actions[0] == "" || actions[0] == `""` {
		return true
	}
	return actions[0] == operation || actions[0] == `"`+operation+`"`
}
