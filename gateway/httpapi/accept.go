// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"mime"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
)

// negotiate picks the representation that the caller likes best (RFC 9110,
// section 12.5.1), the earlier of ours where it likes two alike; empty: none.
// Of several ranges that fit one of ours the narrowest counts.
func negotiate(c *gin.Context, ours ...string) string {
	c.Writer.Header().Add("Vary", "Accept")
	accept := strings.Join(c.Request.Header.Values("Accept"), ",")
	if strings.TrimSpace(accept) == "" {
		return ours[0]
	}
	best, most := "", 0.0
	for _, name := range ours {
		liked, width := 0.0, 3
		for part := range strings.SplitSeq(accept, ",") {
			wanted, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			kind, _, _ := strings.Cut(name, "/")
			w := 3
			switch wanted {
			case name:
				w = 0
			case kind + "/*":
				w = 1
			case "*/*":
				w = 2
			}
			if w < width {
				width, liked = w, quality(params)
			}
		}
		if liked > most {
			best, most = name, liked
		}
	}
	return best
}

// quality is the weight of a range: from 0, not at all, to 1, which it is when
// nothing is said or it cannot be read.
func quality(params map[string]string) float64 {
	q, err := strconv.ParseFloat(params["q"], 64)
	if err != nil || q < 0 || q > 1 {
		return 1
	}
	return q
}
