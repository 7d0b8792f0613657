// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"context"
	"encoding/hex"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
)

func (h *handlers) ListEvidence(ctx context.Context, r ListEvidenceRequestObject) (ListEvidenceResponseObject, error) {
	p := r.Params
	out, err := h.listEvidence(ctx, gateway.SchoolCode(r.Cf), string(p.Kind), p.Limit, p.Cursor)
	return ListEvidence200JSONResponse(out), err
}

// ListAllEvidence is the operator's: what names no school of ours.
func (h *handlers) ListAllEvidence(ctx context.Context, r ListAllEvidenceRequestObject) (ListAllEvidenceResponseObject, error) {
	p := r.Params
	out, err := h.listEvidence(ctx, "", string(p.Kind), p.Limit, p.Cursor)
	return ListAllEvidence200JSONResponse(out), err
}

func (h *handlers) listEvidence(ctx context.Context, school gateway.SchoolCode, kind string, limit int, cursor string) (out EvidencePage, err error) {
	ctx, _ = begin(ctx)
	limit = pageSize(limit)
	list := "evidence " + string(school)
	before, err := h.before(list, cursor)
	if err != nil {
		return out, err
	}
	all, err := h.svc.Evidences(ctx, school, gateway.EvidenceFilter{Kind: gateway.EvidenceKind(kind), Before: before, Limit: limit + 1})
	if err != nil {
		return out, err
	}
	all, next := page(h, list, all, limit, func(e gateway.Evidence) string { return strconv.FormatInt(e.Seq, 10) })
	out = EvidencePage{Items: make([]Evidence, len(all)), NextCursor: next}
	for i, e := range all {
		out.Items[i] = evidenceOf(e)
	}
	return out, nil
}

func (h *handlers) GetEvidence(ctx context.Context, r GetEvidenceRequestObject) (GetEvidenceResponseObject, error) {
	e, raw, err := h.oneEvidence(ctx, gateway.SchoolCode(r.Cf), r.ID)
	if err != nil {
		return nil, err
	}
	if raw {
		return GetEvidence200ApplicationXMLResponse{bytes.NewReader(e.Raw), GetEvidence200ResponseHeaders{tagOf(e.Digest)}, int64(len(e.Raw))}, nil
	}
	out := evidenceOf(e)
	return GetEvidence200JSONResponse{out, GetEvidence200ResponseHeaders{tagOf(out)}}, nil
}

func (h *handlers) GetAnyEvidence(ctx context.Context, r GetAnyEvidenceRequestObject) (GetAnyEvidenceResponseObject, error) {
	e, raw, err := h.oneEvidence(ctx, "", r.ID)
	if err != nil {
		return nil, err
	}
	if raw {
		return GetAnyEvidence200ApplicationXMLResponse{bytes.NewReader(e.Raw), GetAnyEvidence200ResponseHeaders{tagOf(e.Digest)}, int64(len(e.Raw))}, nil
	}
	out := evidenceOf(e)
	return GetAnyEvidence200JSONResponse{out, GetAnyEvidence200ResponseHeaders{tagOf(out)}}, nil
}

// oneEvidence finds a piece of evidence; raw says that its bytes are asked for,
// which leaves a trace.
func (h *handlers) oneEvidence(ctx context.Context, school gateway.SchoolCode, id string) (e gateway.Evidence, raw bool, err error) {
	accept := negotiate(ctx.(*gin.Context), "application/json", "application/xml")
	if accept == "" {
		return e, false, problemAccept
	}
	ctx, k := begin(ctx)
	raw = accept == "application/xml"
	e, err = h.svc.Evidence(ctx, k.caller.actor(), school, id, raw)
	return e, raw, err
}

func evidenceOf(e gateway.Evidence) Evidence {
	return Evidence{
		ID: e.ID, Kind: EvidenceKind(e.Kind), Operation: e.Operation, School: string(e.School), ReceiptID: e.ReceiptID, Number: e.Number,
		ReceivedAt: e.Received, Sha256: hex.EncodeToString(e.Digest[:]),
	}
}

func (h *handlers) ListAudit(ctx context.Context, r ListAuditRequestObject) (ListAuditResponseObject, error) {
	ctx, _ = begin(ctx)
	p := r.Params
	var bad gateway.Invalid
	f := gateway.AuditFilter{
		Actor: p.Actor, Action: p.Action, Object: p.Object,
		From: moment("from", p.From, false, &bad), To: moment("to", p.To, true, &bad),
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	limit := pageSize(p.Limit)
	list := "audit " + r.Cf
	var err error
	if f.Before, err = h.before(list, p.Cursor); err != nil {
		return nil, err
	}
	f.Limit = limit + 1
	all, err := h.svc.Audits(ctx, gateway.SchoolCode(r.Cf), f)
	if err != nil {
		return nil, err
	}
	all, next := page(h, list, all, limit, func(a gateway.Audit) string { return strconv.FormatInt(a.Seq, 10) })
	out := ListAudit200JSONResponse{Items: make([]AuditLine, len(all)), NextCursor: next}
	for i, a := range all {
		out.Items[i] = AuditLine{Sequence: a.Seq, At: a.At, Actor: a.Actor.Kind + " " + a.Actor.Name, Action: a.Action, Object: text(a.Object)}
	}
	return out, nil
}
