// SPDX-License-Identifier: Apache-2.0

// Package pagopa holds the messages of pagoPA's SOAP services as plain Go
// structs: it reads them, against the schema, and writes them.
//
// There are two services, each in both directions. paForNode is what the Node
// asks of a creditor: our creditor face reads its requests and writes its
// responses, the sandbox's node and the tests do the opposite. nodeForPsp is
// what a PSP asks of the Node: our node face reads, connectors and tests
// write. Envelopes and their limits are gateway/soap's; whether a message makes
// sense is the caller's business, and so are the numbers: a notice number is 18
// digits here and goes through iuv.Parse there.
//
// What a caller gets wrong: reading proves the schema, writing does not. A
// writer cuts texts to the length the schema allows and leaves out what is
// empty, but dates, codes, amounts and how many transfers there are it writes
// as given.
package pagopa

import (
	"errors"
	"strings"

	"github.com/beevik/etree"

	"github.com/nodogate/nodogate/gateway/money"
	"github.com/nodogate/nodogate/gateway/soap"
)

// The namespaces of the roots of the two services. Everything below a root is
// in none.
const (
	PaForNodeNamespace  = "http://pagopa-api.pagopa.gov.it/pa/paForNode.xsd"
	NodeForPspNamespace = "http://pagopa-api.pagopa.gov.it/node/nodeForPsp.xsd"
)

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

// The operations of nodeForPsp that are about payments. Those for reporting
// and for catalogues are not ours.
const (
	VerifyPaymentNotice     Operation = "verifyPaymentNotice"
	VerificaBollettino      Operation = "verificaBollettino"
	ActivatePaymentNotice   Operation = "activatePaymentNotice"
	ActivatePaymentNoticeV2 Operation = "activatePaymentNoticeV2"
	SendPaymentOutcome      Operation = "sendPaymentOutcome"
	SendPaymentOutcomeV2    Operation = "sendPaymentOutcomeV2"
	DemandPaymentNotice     Operation = "demandPaymentNotice"
)

// version is 2 for an operation whose name says so.
func version(op Operation) int {
	if strings.HasSuffix(string(op), "V2") {
		return 2
	}
	return 1
}

// versioned is the operation of a message that knows its version.
func versioned(version int, v1, v2 Operation) Operation {
	if version == 2 {
		return v2
	}
	return v1
}

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

// table has the messages of one service in one direction.
type table struct {
	namespace string
	prefix    string             // of the roots, when we write them
	messages  map[string]message // by the name of the root
}

// The roots are named irregularly: V1 ends in Req and Res, the rest in Request
// and Response.
var (
	paForNodeRequests = table{PaForNodeNamespace, "pafn", map[string]message{
		"paVerifyPaymentNoticeReq":     {PaVerifyPaymentNotice, paVerifyPaymentNoticeReq, readVerifyRequest},
		"paGetPaymentReq":              {PaGetPayment, paGetPaymentReq, readGetPaymentRequest},
		"paGetPaymentV2Request":        {PaGetPaymentV2, paGetPaymentReq, readGetPaymentRequest},
		"paSendRTReq":                  {PaSendRT, paSendRTReq, readSendRTRequest},
		"paSendRTV2Request":            {PaSendRTV2, paSendRTV2Request, readSendRTRequest},
		"paDemandPaymentNoticeRequest": {PaDemandPaymentNotice, paDemandPaymentNoticeRequest, readDemandRequest},
	}}
	paForNodeResponses = table{PaForNodeNamespace, "pafn", map[string]message{
		"paVerifyPaymentNoticeRes":      {PaVerifyPaymentNotice, paVerifyPaymentNoticeRes, readVerifyResponse},
		"paGetPaymentRes":               {PaGetPayment, paGetPaymentRes, readGetPaymentResponse},
		"paGetPaymentV2Response":        {PaGetPaymentV2, paGetPaymentV2Response, readGetPaymentResponse},
		"paSendRTRes":                   {PaSendRT, ctResponse, readSendRTResponse},
		"paSendRTV2Response":            {PaSendRTV2, ctResponse, readSendRTResponse},
		"paDemandPaymentNoticeResponse": {PaDemandPaymentNotice, paDemandPaymentNoticeResponse, readDemandResponse},
	}}
	nodeForPspRequests = table{NodeForPspNamespace, "nfpsp", map[string]message{
		"verifyPaymentNoticeReq":         {VerifyPaymentNotice, verifyPaymentNoticeReq, readVerifyNoticeRequest},
		"verificaBollettinoReq":          {VerificaBollettino, verificaBollettinoReq, readBollettinoRequest},
		"activatePaymentNoticeReq":       {ActivatePaymentNotice, activatePaymentNoticeReq, readActivateRequest},
		"activatePaymentNoticeV2Request": {ActivatePaymentNoticeV2, activatePaymentNoticeV2Request, readActivateRequest},
		"sendPaymentOutcomeReq":          {SendPaymentOutcome, sendPaymentOutcomeReq, readOutcomeRequest},
		"sendPaymentOutcomeV2Request":    {SendPaymentOutcomeV2, sendPaymentOutcomeV2Request, readOutcomeRequest},
		"demandPaymentNoticeRequest":     {DemandPaymentNotice, demandPaymentNoticeRequest, readDemandNoticeRequest},
	}}
	nodeForPspResponses = table{NodeForPspNamespace, "nfpsp", map[string]message{
		"verifyPaymentNoticeRes":          {VerifyPaymentNotice, verifyPaymentNoticeRes, readVerifyNoticeResponse},
		"verificaBollettinoRes":           {VerificaBollettino, verificaBollettinoRes, readBollettinoResponse},
		"activatePaymentNoticeRes":        {ActivatePaymentNotice, activatePaymentNoticeRes, readActivateResponse},
		"activatePaymentNoticeV2Response": {ActivatePaymentNoticeV2, activatePaymentNoticeV2Response, readActivateResponse},
		"sendPaymentOutcomeRes":           {SendPaymentOutcome, ctResponse, readOutcomeResponse},
		"sendPaymentOutcomeV2Response":    {SendPaymentOutcomeV2, ctResponse, readOutcomeResponse},
		"demandPaymentNoticeResponse":     {DemandPaymentNotice, demandPaymentNoticeResponse, readDemandNoticeResponse},
	}}
)

// PaForNodeOperation returns the operation that the element in a request's
// Body asks for. With it a request that ReadPaForNode refuses can still be
// answered in its own terms.
func PaForNodeOperation(root soap.Name) (op Operation, ok bool) {
	m, ok := paForNodeRequests.find(root)
	return m.operation, ok
}

// ReadPaForNode reads a request: a VerifyRequest, GetPaymentRequest,
// SendRTRequest or DemandRequest. The error is ErrUnknown or a *SchemaError.
func ReadPaForNode(env *soap.Envelope) (Message, error) {
	return paForNodeRequests.read(env)
}

// ReadPaForNodeResponse reads a response: a VerifyResponse,
// GetPaymentResponse, SendRTResponse or DemandResponse. The error is
// ErrUnknown or a *SchemaError.
func ReadPaForNodeResponse(env *soap.Envelope) (Message, error) {
	return paForNodeResponses.read(env)
}

// NodeForPspOperation is PaForNodeOperation for the other service.
func NodeForPspOperation(root soap.Name) (op Operation, ok bool) {
	m, ok := nodeForPspRequests.find(root)
	return m.operation, ok
}

// ReadNodeForPsp reads a request: a VerifyNoticeRequest, BollettinoRequest,
// ActivateRequest, OutcomeRequest or DemandNoticeRequest. The error is
// ErrUnknown or a *SchemaError.
func ReadNodeForPsp(env *soap.Envelope) (Message, error) {
	return nodeForPspRequests.read(env)
}

// ReadNodeForPspResponse reads a response: a VerifyNoticeResponse,
// BollettinoResponse, ActivateResponse, OutcomeResponse or
// DemandNoticeResponse. The error is ErrUnknown or a *SchemaError.
func ReadNodeForPspResponse(env *soap.Envelope) (Message, error) {
	return nodeForPspResponses.read(env)
}

func (t *table) find(root soap.Name) (message, bool) {
	m, ok := t.messages[root.Local]
	if !ok || root.Space != t.namespace {
		return message{}, false
	}
	return m, true
}

func (t *table) read(env *soap.Envelope) (Message, error) {
	m, ok := t.find(env.Operation)
	if !ok {
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

// absent refuses a response with outcome OK that does not say what OK stands
// for. The schema lets it by, since a KO needs nothing but its fault.
func absent(el *etree.Element, name string) *SchemaError {
	return &SchemaError{Path: el.Tag + "/" + name, Rule: "absent with outcome OK"}
}
