// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"context"

	"github.com/nodogate/nodogate/gateway"
)

func (h *handlers) PrintNotice(ctx context.Context, r PrintNoticeRequestObject) (PrintNoticeResponseObject, error) {
	ctx, _ = begin(ctx)
	number, err := pathNumber(r.Number)
	if err != nil {
		return nil, err
	}
	code := gateway.SchoolCode(r.Cf)
	n, err := h.svc.Notice(ctx, code, number)
	if err != nil {
		return nil, err
	}
	school, err := h.svc.School(ctx, code)
	if err != nil {
		return nil, err
	}
	pdf, err := h.noticePDF(ctx, n, school, r.Params.Language)
	if err != nil {
		return nil, err
	}
	return PrintNotice200ApplicationPdfResponse{
		Body: bytes.NewReader(pdf), ContentLength: int64(len(pdf)),
		Headers: PrintNotice200ResponseHeaders{`attachment; filename="avviso-` + number.String() + `.pdf"`},
	}, nil
}
