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

var problemNotPrinted = problem{409, "print_not_done", "There is no file", "Ask for the print's state: it is still running, or has failed."}

func (h *handlers) CreatePrint(ctx context.Context, r CreatePrintRequestObject) (CreatePrintResponseObject, error) {
	ctx, k := begin(ctx)
	in := gateway.NewPrint{
		Class: r.Body.Class, Campaign: r.Body.Campaign, Numbers: r.Body.Notices,
		Format: gateway.PrintFormat(r.Body.Format), Language: r.Body.Language,
	}
	p, err := h.svc.AskPrint(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), in)
	if err != nil {
		return nil, err
	}
	return CreatePrint202JSONResponse{h.printOf(p), CreatePrint202ResponseHeaders{printPath(p)}}, nil
}

func printPath(p gateway.Print) string {
	return "/api/v1/schools/" + string(p.School) + "/prints/" + p.ID
}

func (h *handlers) GetPrint(ctx context.Context, r GetPrintRequestObject) (GetPrintResponseObject, error) {
	ctx, _ = begin(ctx)
	p, err := h.svc.Print(ctx, gateway.SchoolCode(r.Cf), r.ID)
	if err != nil {
		return nil, err
	}
	out := h.printOf(p)
	return GetPrint200JSONResponse{out, GetPrint200ResponseHeaders{tagOf(out)}}, nil
}

func (h *handlers) GetPrintFile(ctx context.Context, r GetPrintFileRequestObject) (GetPrintFileResponseObject, error) {
	ctx, k := begin(ctx)
	p, err := h.svc.Print(ctx, gateway.SchoolCode(r.Cf), r.ID)
	if err != nil {
		return nil, err
	}
	if p.State != gateway.PrintDone {
		return nil, problemNotPrinted
	}
	file, err := h.svc.OpenPrint(ctx, k.caller.actor(), p)
	if err != nil {
		return nil, err
	}
	head := GetPrintFile200ResponseHeaders{`attachment; filename="avvisi-` + p.ID + `.` + string(p.Format) + `"`}
	if p.Format == gateway.PrintZIP {
		return GetPrintFile200ApplicationZipResponse{Body: file, ContentLength: p.File.Size, Headers: head}, nil
	}
	return GetPrintFile200ApplicationPdfResponse{Body: file, ContentLength: p.File.Size, Headers: head}, nil
}

func (h *handlers) printOf(p gateway.Print) Print {
	out := Print{
		ID: p.ID, State: string(p.State), Format: string(p.Format), Language: text(p.Language), Notices: len(p.Numbers),
		Printed: p.Printed, Skipped: p.Skipped, Progress: 100, Failure: text(p.Failure),
		CreatedAt: p.CreatedAt, FinishedAt: instant(p.FinishedAt), ExpiresAt: instant(p.ExpiresAt),
	}
	switch p.State {
	case gateway.PrintRunning:
		out.Progress = (p.Printed + p.Skipped) * 100 / len(p.Numbers)
	case gateway.PrintDone:
		out.FileURL = text(h.svc.PublicURL(printPath(p) + "/file"))
	}
	return out
}
