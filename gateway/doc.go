// SPDX-License-Identifier: Apache-2.0

// Package gateway is the middle of Nodogate: what a school, a notice, a cart,
// an attempt and a receipt are, in which states they can be, and the Service
// that moves them.
//
// It knows no wire and no database. What it needs of the world it declares as
// small interfaces (Store, PSPs) that others implement; the edges (SOAP faces,
// REST, portal) parse their language into these types and translate its errors
// back. Time and randomness are injected.
//
// What a caller gets wrong: the state stored with a notice is not the state to
// show. A notice past its last day reads expired before any job has run; ask
// Notice.StateAt.
package gateway
