// SPDX-License-Identifier: Apache-2.0

package pdf

// Style is how a text of a Document looks. The zero Style is Body.
type Style int

// The styles there are.
const (
	Body    Style = iota
	Strong        // what the eye must find
	Code          // numbers that are copied by hand
	Fine          // beside a value
	Label         // names a value
	Small         // what few will read
	Digest        // long codes
	Figure        // the one amount that matters
	Title         // the document's name
	Section       // a part's name
)

var styles = [...]struct {
	Type
	lead float64 // points from line to line; equal for what stands side by side
}{
	Body:    {Type{Regular, 10, Ink}, 13.8},
	Strong:  {Type{Bold, 11, Ink}, 15},
	Code:    {Type{Mono, 9.5, Ink}, 13.8},
	Fine:    {Type{Regular, 9, Muted}, 12.4},
	Label:   {Type{Regular, 9, Muted}, 13.8},
	Small:   {Type{Regular, 8, Muted}, 11},
	Digest:  {Type{Mono, 7.5, Muted}, 11},
	Figure:  {Type{Bold, 22, Accent}, 28},
	Title:   {Type{Bold, 22, Accent}, 30},
	Section: {Type{Bold, 11.5, Accent}, 16},
}

// leading is the height of a line in millimetres.
func (s Style) leading() float64 { return styles[s].lead / MM }
