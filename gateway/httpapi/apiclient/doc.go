// SPDX-License-Identifier: Apache-2.0

// Package apiclient is a client of the back-office API as an integrator makes
// one: generated from the document that is served, and from nothing else.
//
// It is there for tests, which drive the API with it, so that what is awkward
// for an integrator is awkward for us first. Nothing that ships imports it.
package apiclient
