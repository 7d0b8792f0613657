// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/iuv"
)

func (h *handlers) ListReceipts(ctx context.Context, r ListReceiptsRequestObject) (ListReceiptsResponseObject, error) {
	ctx, _ = begin(ctx)
	p := r.Params
	var bad gateway.Invalid
	f := gateway.ReceiptFilter{
		From: moment("from", p.From, false, &bad), To: moment("to", p.To, true, &bad), Anomaly: p.Anomaly,
	}
	if p.Notice != "" {
		var err error
		if f.Notice, err = iuv.Parse(p.Notice); err != nil {
			bad.Add("notice", "format", "give the notice number's 18 digits")
		}
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	limit := pageSize(p.Limit)
	list := "receipts " + r.Cf
	before, err := h.before(list, p.Cursor)
	if err != nil {
		return nil, err
	}
	f.Before, f.Limit = before, limit+1
	receipts, err := h.svc.Receipts(ctx, gateway.SchoolCode(r.Cf), f)
	if err != nil {
		return nil, err
	}
	receipts, next := page(h, list, receipts, limit, func(r gateway.Receipt) string { return strconv.FormatInt(r.Seq, 10) })
	out := ListReceipts200JSONResponse{Items: make([]Receipt, len(receipts)), NextCursor: next}
	for i, r := range receipts {
		out.Items[i] = receiptOf(r)
	}
	return out, nil
}

func (h *handlers) GetReceipt(ctx context.Context, r GetReceiptRequestObject) (GetReceiptResponseObject, error) {
	accept := negotiate(ctx.(*gin.Context), "application/json", "application/xml", "application/pdf")
	ctx, k := begin(ctx)
	code := gateway.SchoolCode(r.Cf)
	receipt, err := h.svc.Receipt(ctx, code, r.ID)
	if err != nil {
		return nil, err
	}
	switch accept {
	case "application/json":
		out := receiptOf(receipt)
		return GetReceipt200JSONResponse{out, GetReceipt200ResponseHeaders{tagOf(out)}}, nil
	case "application/xml":
		// Whoever reads the bytes that were received leaves a trace.
		err := h.svc.Atomically(ctx, func(_ context.Context, tx gateway.Tx) error {
			return tx.AppendAudit(gateway.Audit{School: code, Actor: k.caller.actor(), Action: "receipt.raw_read", Object: receipt.ID, At: h.svc.Now()})
		})
		head := GetReceipt200ResponseHeaders{tagOf(receipt.Digest)}
		return GetReceipt200ApplicationXMLResponse{bytes.NewReader(receipt.Raw), head, int64(len(receipt.Raw))}, err
	case "application/pdf":
		school, err := h.svc.School(ctx, code)
		if err != nil {
			return nil, err
		}
		pdf, err := h.pdf(receipt, school)
		head := GetReceipt200ResponseHeaders{tagOf(sha256.Sum256(pdf))}
		return GetReceipt200ApplicationPdfResponse{bytes.NewReader(pdf), head, int64(len(pdf))}, err
	}
	return nil, problemAccept
}

func receiptOf(r gateway.Receipt) Receipt {
	out := Receipt{
		ID: r.ID, ReceiptID: r.Content.ID, AmountCents: int64(r.Content.Amount), PaidAt: instant(r.Content.PaidAt),
		Method: text(r.Content.Method), Channel: ReceiptChannel(r.Channel), Role: ReceiptRole(r.Role),
		Anomaly: text(r.Anomaly), ReceivedAt: r.Received,
	}
	out.Psp.ID, out.Psp.Name = r.Content.PSP.ID, r.Content.PSP.Name
	if !r.Notice.IsZero() {
		out.Notice = &NoticeRef{School: string(r.School), Number: r.Notice.String()}
	}
	if p := r.Content.Payer; p != nil {
		out.Payer = &Payer{FiscalCode: p.ID, FullName: p.FullName}
	}
	if s := r.Seal; s != nil {
		out.Seal = &Seal{Sequence: s.Sequence, Hash: hex.EncodeToString(s.Hash[:])}
	}
	return out
}
