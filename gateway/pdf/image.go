// SPDX-License-Identifier: Apache-2.0

package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // logos come as one of these
	_ "image/png"
)

// Picture is a small picture in sixteen grays, ready to be drawn.
type Picture struct {
	width, height int
	packed        []byte // two pixels a byte, each row whole bytes
}

// What a picture may be, so that a small file cannot fill the memory, and what
// becomes of it: 240 dots are 200 an inch at the 30 mm of a logo.
const (
	maxPictureBytes  = 1 << 20
	maxPicturePixels = 16 << 20
	pictureDots      = 240
)

// ErrPicture: not a picture that can be printed. Wrapped with what is wrong.
var ErrPicture = errors.New("not a picture to print")

// Gray reads a PNG or JPEG of at most 1 MB and 16 million pixels, on white where
// it is transparent.
func Gray(data []byte) (*Picture, error) {
	if len(data) > maxPictureBytes {
		return nil, fmt.Errorf("%w: over 1 MB", ErrPicture)
	}
	head, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: neither PNG nor JPEG", ErrPicture)
	}
	if head.Width < 1 || head.Height < 1 || head.Width > maxPicturePixels/head.Height {
		return nil, fmt.Errorf("%w: over 16 million pixels", ErrPicture)
	}
	m, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: damaged", ErrPicture)
	}
	box := m.Bounds()
	w, h := box.Dx(), box.Dy()
	if longer := max(w, h); longer > pictureDots {
		w, h = max(1, w*pictureDots/longer), max(1, h*pictureDots/longer)
	}
	p := &Picture{w, h, make([]byte, (w+1)/2*h)}
	for y := range h {
		for x := range w {
			v := average(m, image.Rect(
				box.Min.X+x*box.Dx()/w, box.Min.Y+y*box.Dy()/h,
				box.Min.X+(x+1)*box.Dx()/w, box.Min.Y+(y+1)*box.Dy()/h))
			p.packed[y*((w+1)/2)+x/2] |= v << (4 * (1 - x%2))
		}
	}
	return p, nil
}

// average is the gray of a part of a picture, 0 to 15.
func average(m image.Image, part image.Rectangle) byte {
	var sum, n uint64
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			r, g, b, a := m.At(x, y).RGBA() // already times a
			luma := (299*uint64(r) + 587*uint64(g) + 114*uint64(b)) / 1000
			sum += luma + 0xffff - uint64(a)
			n++
		}
	}
	return byte((sum/n*15 + 0x7fff) / 0xffff)
}

// Picture draws a picture into the upper right corner of a square, as large as
// it fits; alt says what it shows, empty for an ornament.
func (c *Canvas) Picture(x, y, size float64, p *Picture, alt string) {
	i, ok := c.pictures[p]
	if !ok {
		if c.pictures == nil {
			c.pictures = map[*Picture]int{}
		}
		i = len(c.images)
		c.pictures[p] = i
		c.images = append(c.images, c.f.stream(fmt.Sprintf(
			"/Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 4", p.width, p.height), p.packed))
	}
	longer := float64(max(p.width, p.height))
	w, h := size*float64(p.width)/longer, size*float64(p.height)/longer
	c.figure(x+size-w, y, w, h, alt, func() { c.b = fmt.Appendf(c.b, "/I%d Do\n", i) })
}
