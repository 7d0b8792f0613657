// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
)

// defaultLimit is how many a page holds when the caller does not say; the most
// is in the document.
const defaultLimit = 50

// Pages go on after the last item of the page before, never at a count, so that
// they are stable while things are added. A cursor is the position of that
// item, signed: it can be neither guessed nor taken to another list.

const tagSize = 12

func (h *handlers) tag(list, position string) []byte {
	m := hmac.New(sha256.New, h.cursorKey)
	m.Write([]byte(list + "\x00" + position))
	return m.Sum(nil)[:tagSize]
}

func (h *handlers) cursor(list, position string) text {
	return text(base64.RawURLEncoding.EncodeToString(append(h.tag(list, position), position...)))
}

// position is what the cursor says; empty for the first page.
func (h *handlers) position(list, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) <= tagSize || !hmac.Equal(b[:tagSize], h.tag(list, string(b[tagSize:]))) {
		return "", wrong("cursor", "format", "give next_cursor of the page before, of the same list")
	}
	return string(b[tagSize:]), nil
}

// before is position for lists in order of sequence; 0 for the first page.
func (h *handlers) before(list, cursor string) (int64, error) {
	p, err := h.position(list, cursor)
	if err != nil || p == "" {
		return 0, err
	}
	return strconv.ParseInt(p, 10, 64)
}

func pageSize(limit int) int {
	if limit == 0 {
		return defaultLimit
	}
	return limit
}

// page cuts a list that was asked for with one more than the limit.
func page[T any](h *handlers, list string, all []T, limit int, position func(T) string) ([]T, text) {
	if len(all) <= limit {
		return all, ""
	}
	return all[:limit], h.cursor(list, position(all[limit-1]))
}
