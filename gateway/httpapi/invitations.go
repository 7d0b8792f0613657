// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"context"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
)

// wantsLetter says whether the answer is to be printed, and refuses what is
// neither data nor a letter: before there is a code that nobody would see.
func wantsLetter(ctx context.Context) (bool, error) {
	switch ctx.(*gin.Context).NegotiateFormat("application/json", "application/pdf") {
	case "application/json":
		return false, nil
	case "application/pdf":
		return true, nil
	}
	return false, problemAccept
}

func (h *handlers) InvitePayer(ctx context.Context, r InvitePayerRequestObject) (InvitePayerResponseObject, error) {
	letter, err := wantsLetter(ctx)
	if err != nil {
		return nil, err
	}
	ctx, k := begin(ctx)
	if err := registryIDs("pupil", r.Pupil, "payer", r.Payer); err != nil {
		return nil, err
	}
	code := gateway.SchoolCode(r.Cf)
	i, err := h.svc.InvitePayer(ctx, k.caller.actor(), code, r.Pupil, r.Payer)
	if err != nil {
		return nil, err
	}
	head := InvitePayer201ResponseHeaders{"/api/v1/schools/" + r.Cf + "/pupils/" + r.Pupil + "/payers/" + r.Payer + "/invitation"}
	if !letter {
		return InvitePayer201JSONResponse{h.invitationOf(i), head}, nil
	}
	pdf, err := h.letters(ctx, code, "", gateway.Invitations{Letters: []gateway.Invited{i}})
	return InvitePayer201ApplicationPdfResponse{bytes.NewReader(pdf), head, int64(len(pdf))}, err
}

func (h *handlers) InviteClass(ctx context.Context, r InviteClassRequestObject) (InviteClassResponseObject, error) {
	letter, err := wantsLetter(ctx)
	if err != nil {
		return nil, err
	}
	ctx, k := begin(ctx)
	if err := registryIDs("class", r.Class); err != nil {
		return nil, err
	}
	code := gateway.SchoolCode(r.Cf)
	list, err := h.svc.InviteClass(ctx, k.caller.actor(), code, r.Class)
	if err != nil {
		return nil, err
	}
	head := InviteClass201ResponseHeaders{"/api/v1/schools/" + r.Cf + "/pupils?class=" + url.QueryEscape(r.Class)}
	if letter {
		pdf, err := h.letters(ctx, code, r.Class, list)
		return InviteClass201ApplicationPdfResponse{bytes.NewReader(pdf), head, int64(len(pdf))}, err
	}
	out := ClassInvitations{Items: make([]InvitationCode, len(list.Letters)), Proven: make([]string, len(list.Proven))}
	for n, i := range list.Letters {
		out.Items[n] = h.invitationOf(i)
	}
	for n, p := range list.Proven {
		out.Proven[n] = p.ID
	}
	return InviteClass201JSONResponse{out, head}, nil
}

func (h *handlers) letters(ctx context.Context, code gateway.SchoolCode, class string, list gateway.Invitations) ([]byte, error) {
	school, err := h.svc.School(ctx, code)
	if err != nil {
		return nil, err
	}
	return h.lettersPDF(school, class, list)
}

func (h *handlers) invitationOf(i gateway.Invited) InvitationCode {
	out := InvitationCode{
		Payer: i.Payer.ID, Pupils: make([]string, len(i.Pupils)), Code: i.Code, PortalURL: h.svc.PublicURL("/registrazione"), ExpiresAt: i.Until,
	}
	for n, p := range i.Pupils {
		out.Pupils[n] = p.ID
	}
	return out
}

func (h *handlers) GetInvitation(ctx context.Context, r GetInvitationRequestObject) (GetInvitationResponseObject, error) {
	ctx, _ = begin(ctx)
	if err := registryIDs("pupil", r.Pupil, "payer", r.Payer); err != nil {
		return nil, err
	}
	i, err := h.svc.LastInvitation(ctx, gateway.SchoolCode(r.Cf), r.Pupil, r.Payer)
	if err != nil {
		return nil, err
	}
	out := GetInvitation200JSONResponse{Payer: i.Payer, State: "open", CreatedAt: i.CreatedAt, ExpiresAt: i.ExpiresAt, UsedAt: instant(i.UsedAt)}
	switch {
	case !i.UsedAt.IsZero():
		out.State = "used"
	case !h.svc.Now().Before(i.ExpiresAt):
		out.State = "expired"
	}
	return out, nil
}

func (h *handlers) EndInvitation(ctx context.Context, r EndInvitationRequestObject) (EndInvitationResponseObject, error) {
	ctx, k := begin(ctx)
	if err := registryIDs("pupil", r.Pupil, "payer", r.Payer); err != nil {
		return nil, err
	}
	return EndInvitation204Response{}, h.svc.EndInvitations(ctx, k.caller.actor(), gateway.SchoolCode(r.Cf), r.Pupil, r.Payer)
}
