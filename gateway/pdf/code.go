// SPDX-License-Identifier: Apache-2.0

package pdf

import (
	"fmt"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/datamatrix"
	dmencoder "github.com/makiuchi-d/gozxing/datamatrix/encoder"
	"github.com/makiuchi-d/gozxing/qrcode/decoder"
	"github.com/makiuchi-d/gozxing/qrcode/encoder"
)

// Matrix is the modules of a square two-dimensional code, without a margin.
type Matrix struct {
	size int
	dark []bool
}

// Size is how many modules a side has.
func (m Matrix) Size() int { return m.size }

// Dark says whether a module is, column and row counted from the upper left.
func (m Matrix) Dark(column, row int) bool { return m.dark[row*m.size+column] }

// QRVersion is the one size of QR codes on notices, 33 modules a side
// ("Avviso analogico", codice QR).
const QRVersion = 4

// QR is the QR code of a text, version 4 with error correction M: up to 62
// bytes. It must stand in a margin of 4 modules.
func QR(text string) (Matrix, error) {
	return qrCode(text, map[gozxing.EncodeHintType]any{
		gozxing.EncodeHintType_QR_VERSION:    QRVersion,
		gozxing.EncodeHintType_CHARACTER_SET: "UTF-8",
	})
}

// LinkQR is the QR code of an address, as small as can be. It must stand in a
// margin of 4 modules.
func LinkQR(address string) (Matrix, error) {
	return qrCode(address, map[gozxing.EncodeHintType]any{gozxing.EncodeHintType_CHARACTER_SET: "UTF-8"})
}

func qrCode(text string, hints map[gozxing.EncodeHintType]any) (Matrix, error) {
	q, err := encoder.Encoder_encode(text, decoder.ErrorCorrectionLevel_M, hints)
	if err != nil {
		return Matrix{}, fmt.Errorf("QR code: %w", err)
	}
	b := q.GetMatrix()
	m := Matrix{b.GetWidth(), make([]bool, b.GetWidth()*b.GetWidth())}
	for i := range m.dark {
		m.dark[i] = b.Get(i%m.size, i/m.size) == 1
	}
	return m, nil
}

// DataMatrix is the square Data Matrix (ECC 200) of a text of ASCII, at most 512
// characters: more would not be read at the size of a slip. It must stand in a
// margin of 1 module; printers leave 2.
func DataMatrix(text string) (Matrix, error) {
	if len(text) > 512 {
		return Matrix{}, fmt.Errorf("data matrix: %d characters", len(text))
	}
	for i := range len(text) {
		if text[i] > '~' {
			return Matrix{}, fmt.Errorf("data matrix: character %d is not ASCII", i)
		}
	}
	b, err := datamatrix.NewDataMatrixWriter().Encode(text, gozxing.BarcodeFormat_DATA_MATRIX, 0, 0, map[gozxing.EncodeHintType]any{
		gozxing.EncodeHintType_DATA_MATRIX_SHAPE: dmencoder.SymbolShapeHint_FORCE_SQUARE,
	})
	if err != nil {
		return Matrix{}, fmt.Errorf("data matrix: %w", err)
	}
	m := Matrix{b.GetWidth(), make([]bool, b.GetWidth()*b.GetWidth())}
	for i := range m.dark {
		m.dark[i] = b.Get(i%m.size, i/m.size)
	}
	return m, nil
}
