// SPDX-License-Identifier: Apache-2.0

// Package pagopa holds the messages of pagoPA's SOAP services as plain Go
// structs: it reads them, against the schema, and writes them.
//
// So far these are the six operations of paForNode, both directions: the
// creditor face reads requests and writes responses, the sandbox's node and
// the tests do the opposite. Envelopes and their limits are gateway/soap's;
// whether a message makes sense is the caller's business, and so are the
// numbers: a notice number is 18 digits here and goes through iuv.Parse there.
//
// What a caller gets wrong: reading proves the schema, writing does not. A
// writer cuts texts to the length the schema allows and leaves out what is
// empty, but dates, codes, amounts and how many transfers there are it writes
// as given.
package pagopa

import (
	"errors"

	"github.com/beevik/etree"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/soap"
)

// PaForNodeNamespace is the namespace of the roots of paForNode. Everything
// below a root is in none.
const PaForNodeNamespace = "http://pagopa-api.pagopa.gov.it/pa/paForNode.xsd"

// Operation is the name of an operation in its WSDL, and its SOAPAction.
type Operation string

// The operations of paForNode.
const (
	PaVerifyPaymentNotice Operation = "paVerifyPaymentNotice"
	PaGetPayment          Operation = "paGetPayment"
	PaGetPaymentV2        Operation = "paGetPaymentV2"
	PaSendRT              Operation = "paSendRT"
	PaSendRTV2            Operation = "paSendRTV2"
	PaDemandPaymentNotice Operation = "paDemandPaymentNotice"
)

// Message is a request or a response.
type Message interface {
	// Operation says which operation the message belongs to.
	Operation() Operation
	// Append appends the message, as it stands in a SOAP Body.
	Append(b []byte) []byte
}

// ErrUnknown says that the element in the Body is none of the messages looked
// for, or is in another namespace.
var ErrUnknown = errors.New("pagopa: unknown message")

// message is how one root element is read.
type message struct {
	operation Operation
	schema    sequence
	read      func(op Operation, el *etree.Element) (Message, error) // el is valid for the schema
}

// The roots are named irregularly: V1 ends in Req and Res, the rest in Request
// and Response.
var paForNodeRequests = map[string]message{
	"paVerifyPaymentNoticeReq":     {PaVerifyPaymentNotice, paVerifyPaymentNoticeReq, readVerifyRequest},
	"paGetPaymentReq":              {PaGetPayment, paGetPaymentReq, readGetPaymentRequest},
	"paGetPaymentV2Request":        {PaGetPaymentV2, paGetPaymentReq, readGetPaymentRequest},
	"paSendRTReq":                  {PaSendRT, paSendRTReq, readSendRTRequest},
	"paSendRTV2Request":            {PaSendRTV2, paSendRTV2Request, readSendRTRequest},
	"paDemandPaymentNoticeRequest": {PaDemandPaymentNotice, paDemandPaymentNoticeRequest, readDemandRequest},
}

var paForNodeResponses = map[string]message{
	"paVerifyPaymentNoticeRes":      {PaVerifyPaymentNotice, paVerifyPaymentNoticeRes, readVerifyResponse},
	"paGetPaymentRes":               {PaGetPayment, paGetPaymentRes, readGetPaymentResponse},
	"paGetPaymentV2Response":        {PaGetPaymentV2, paGetPaymentV2Response, readGetPaymentResponse},
	"paSendRTRes":                   {PaSendRT, ctResponse, readSendRTResponse},
	"paSendRTV2Response":            {PaSendRTV2, ctResponse, readSendRTResponse},
	"paDemandPaymentNoticeResponse": {PaDemandPaymentNotice, paDemandPaymentNoticeResponse, readDemandResponse},
}

// PaForNodeOperation returns the operation that the element in a request's
// Body asks for. With it a request that ReadPaForNode refuses can still be
// answered in its own terms.
func PaForNodeOperation(root soap.Name) (op Operation, ok bool) {
	m, ok := paForNodeRequests[root.Local]
	return m.operation, ok && root.Space == PaForNodeNamespace
}

// ReadPaForNode reads a request: a VerifyRequest, GetPaymentRequest,
// SendRTRequest or DemandRequest. The error is ErrUnknown or a *SchemaError.
func ReadPaForNode(env *soap.Envelope) (Message, error) {
	return read(paForNodeRequests, env)
}

// ReadPaForNodeResponse reads a response: a VerifyResponse,
// GetPaymentResponse, SendRTResponse or DemandResponse. The error is
// ErrUnknown or a *SchemaError.
func ReadPaForNodeResponse(env *soap.Envelope) (Message, error) {
	return read(paForNodeResponses, env)
}

func read(messages map[string]message, env *soap.Envelope) (Message, error) {
	m, ok := messages[env.Operation.Local]
	if !ok || env.Operation.Space != PaForNodeNamespace {
		return nil, ErrUnknown
	}
	if err := validate(env.Body, m.schema); err != nil {
		return nil, err
	}
	msg, err := m.read(m.operation, env.Body)
	if err != nil {
		return nil, err
	}
	return msg, nil
}

// What follows takes values out of an element that is valid for its schema.
// So texts parse, and what is not there is optional.

func value(el *etree.Element, name string) string {
	if child := el.SelectElement(name); child != nil {
		return child.Text()
	}
	return ""
}

// token is the value of a type that collapses white space.
func token(el *etree.Element, name string) string { return collapse(value(el, name)) }

func boolean(el *etree.Element, name string) bool {
	v := token(el, name)
	return v == "true" || v == "1"
}

func cents(el *etree.Element, name string) money.Cents {
	c, _ := money.Parse(token(el, name)) // parsed before, as stAmount
	return c
}

func optionalCents(el *etree.Element, name string) *money.Cents {
	if el.SelectElement(name) == nil {
		return nil
	}
	c := cents(el, name)
	return &c
}
