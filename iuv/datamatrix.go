// SPDX-License-Identifier: Apache-2.0

package iuv

import (
	"fmt"
	"strings"
)

// DataMatrix is what the Data Matrix of a postal payment slip (bollettino
// postale PA, document type 896) says. Poste Italiane, "Manuale Autorizzazione
// alla stampa in proprio", 4.2.
//
// It holds a person's name and code: never log one.
type DataMatrix struct {
	Notice     Number
	Account    string // postal account number (conto corrente postale), 12 digits, zero padded
	Cents      int64  // euro cents, up to 10 digits
	Creditor   string // fiscal code of the school, 11 digits
	DebtorCode string // fiscal code of the debtor, at most 16 letters and digits
	DebtorName string // cut to 40 characters
	Subject    string // subject of payment (causale), cut to 110 characters
}

// Where each field of the payload starts and ends. Text is 256 characters.
const (
	dmHead       = "codfase=NBPA;"
	dmCodeline   = len(dmHead)
	dmConstants  = dmCodeline + codelineLen
	dmCreditor   = dmConstants + len(dmType)
	dmDebtorCode = dmCreditor + creditorLen
	dmDebtorName = dmDebtorCode + 16
	dmSubject    = dmDebtorName + 40
	dmFiller     = dmSubject + 110
	dmEnd        = dmFiller + 12
	dmLen        = dmEnd + len(dmTail)

	dmType = "1P1" // a constant 1, then the type of slip, printed as "Tipo P1"
	dmTail = "A"
)

// The codeline is four fields, each after its length; the last is the constant
// document type.
const (
	codelineLen     = 50
	codelineNotice  = 2
	codelineAccount = codelineNotice + numberLen + 2
	codelineCents   = codelineAccount + accountLen + 2
	codelineType    = codelineCents + 10

	accountLen   = 12
	documentType = "3896"
)

// Text is the payload, exactly 256 ASCII characters. Names and subject are
// upper-cased, lose their accents (è becomes E) and have every character but
// letters, digits and &'-.:_, replaced by a space, for Poste's reader knows no
// others; then they are cut to their room. What is not free text is never cut:
// an error wraps ErrRange where the notice is zero, the account is not 12
// digits, the creditor not 11, the amount is negative or over 10 digits, or the
// debtor's code has over 16 characters or one that is no letter or digit.
func (d DataMatrix) Text() (string, error) {
	codeline, err := d.Codeline()
	if err != nil {
		return "", err
	}
	if !isCreditor(d.Creditor) {
		return "", fmt.Errorf("%w: creditor in a Data Matrix", ErrRange)
	}
	if len(d.DebtorCode) > dmDebtorName-dmDebtorCode || !allAlphanumeric(d.DebtorCode) {
		return "", fmt.Errorf("%w: debtor code in a Data Matrix", ErrRange)
	}
	b := make([]byte, 0, dmLen)
	b = append(b, dmHead...)
	b = append(b, codeline...)
	b = append(b, dmType...)
	b = append(b, d.Creditor...)
	b = appendPadded(b, strings.ToUpper(d.DebtorCode), dmDebtorName)
	b = appendPadded(b, plainText(d.DebtorName), dmSubject)
	b = appendPadded(b, plainText(d.Subject), dmFiller)
	b = appendPadded(b, "", dmEnd)
	b = append(b, dmTail...)
	return string(b), nil
}

// Codeline is the 50 digits printed on the slip and repeated inside Text:
// notice number, account, amount and document type, each after its length.
// It has no check of its own: the notice number's is the only one.
func (d DataMatrix) Codeline() (string, error) {
	if d.Notice.IsZero() {
		return "", fmt.Errorf("%w: no notice number for a codeline", ErrRange)
	}
	if len(d.Account) != accountLen || !allDigits(d.Account) {
		return "", fmt.Errorf("%w: a postal account has 12 digits", ErrRange)
	}
	if d.Cents < 0 || d.Cents >= maxCents {
		return "", fmt.Errorf("%w: amount in a codeline", ErrRange)
	}
	return fmt.Sprintf("18%s12%s10%010d"+documentType, d.Notice, d.Account, d.Cents), nil
}

// ParseDataMatrix reads a payload back, padding removed. Lower-case letters are
// accepted, since other printers write them. Errors wrap ErrLength, ErrFormat or
// those of [Parse].
func ParseDataMatrix(s string) (DataMatrix, error) {
	if len(s) != dmLen {
		return DataMatrix{}, fmt.Errorf("%w: a Data Matrix has %d characters, got %d", ErrLength, dmLen, len(s))
	}
	codeline := s[dmCodeline:dmConstants]
	if s[:dmCodeline] != dmHead || !isCodeline(codeline) || s[dmConstants:dmCreditor] != dmType ||
		strings.Trim(s[dmFiller:dmEnd], " ") != "" || s[dmEnd:] != dmTail {
		return DataMatrix{}, fmt.Errorf("%w: not the Data Matrix of a postal slip 896", ErrFormat)
	}
	notice, err := Parse(codeline[codelineNotice : codelineNotice+numberLen])
	if err != nil {
		return DataMatrix{}, fmt.Errorf("postal slip: %w", err)
	}
	d := DataMatrix{
		Notice:     notice,
		Account:    codeline[codelineAccount : codelineAccount+accountLen],
		Cents:      int64(digits(codeline[codelineCents:codelineType])),
		Creditor:   s[dmCreditor:dmDebtorCode],
		DebtorCode: strings.TrimRight(s[dmDebtorCode:dmDebtorName], " "),
		DebtorName: strings.TrimRight(s[dmDebtorName:dmSubject], " "),
		Subject:    strings.TrimRight(s[dmSubject:dmFiller], " "),
	}
	if !isCreditor(d.Creditor) || !allAlphanumeric(d.DebtorCode) {
		return DataMatrix{}, fmt.Errorf("%w: creditor or debtor in a Data Matrix", ErrFormat)
	}
	for _, c := range []byte(d.DebtorName + d.Subject) {
		if !isPrintable(c) {
			return DataMatrix{}, fmt.Errorf("%w: character in a Data Matrix", ErrFormat)
		}
	}
	return d, nil
}

// isCodeline reports whether the 50 characters are digits, with the right
// lengths before the fields and the document type after them.
func isCodeline(s string) bool {
	return allDigits(s) &&
		s[:codelineNotice] == "18" &&
		s[codelineAccount-2:codelineAccount] == "12" &&
		s[codelineCents-2:codelineCents] == "10" &&
		s[codelineType:] == documentType
}

// appendPadded appends s, cut or padded with spaces so that b ends at end.
func appendPadded(b []byte, s string, end int) []byte {
	b = append(b, s[:min(len(s), end-len(b))]...)
	for len(b) < end {
		b = append(b, ' ')
	}
	return b
}

// isPrintable reports whether Poste's reader knows the character.
func isPrintable(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte(" &'-.:_,", c) >= 0
}

// plainText is s in the upper-case ASCII that a Data Matrix may hold, with
// single spaces between words.
func plainText(s string) string {
	var b strings.Builder
	for _, r := range strings.ToUpper(s) {
		b.WriteString(plain(r))
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// plain is an upper-case rune without its accent, or a space where nothing in
// ASCII stands for it. The letters are those of the European languages written
// in Latin script, which cover the names found in Italian schools; combining
// marks vanish, so that decomposed text gives the same as composed.
func plain(r rune) string {
	switch r {
	case 'À', 'Á', 'Â', 'Ã', 'Ä', 'Å', 'Ā', 'Ă', 'Ą':
		return "A"
	case 'Ç', 'Ć', 'Ĉ', 'Ċ', 'Č':
		return "C"
	case 'Ð', 'Ď', 'Đ':
		return "D"
	case 'È', 'É', 'Ê', 'Ë', 'Ē', 'Ĕ', 'Ė', 'Ę', 'Ě':
		return "E"
	case 'Ĝ', 'Ğ', 'Ġ', 'Ģ':
		return "G"
	case 'Ĥ', 'Ħ':
		return "H"
	case 'Ì', 'Í', 'Î', 'Ï', 'Ĩ', 'Ī', 'Ĭ', 'Į', 'İ':
		return "I"
	case 'Ĵ':
		return "J"
	case 'Ķ':
		return "K"
	case 'Ĺ', 'Ļ', 'Ľ', 'Ŀ', 'Ł':
		return "L"
	case 'Ñ', 'Ń', 'Ņ', 'Ň', 'Ŋ':
		return "N"
	case 'Ò', 'Ó', 'Ô', 'Õ', 'Ö', 'Ø', 'Ō', 'Ŏ', 'Ő':
		return "O"
	case 'Ŕ', 'Ŗ', 'Ř':
		return "R"
	case 'Ś', 'Ŝ', 'Ş', 'Š', 'Ș':
		return "S"
	case 'Ţ', 'Ť', 'Ŧ', 'Ț':
		return "T"
	case 'Ù', 'Ú', 'Û', 'Ü', 'Ũ', 'Ū', 'Ŭ', 'Ů', 'Ű', 'Ų':
		return "U"
	case 'Ŵ':
		return "W"
	case 'Ý', 'Ŷ', 'Ÿ':
		return "Y"
	case 'Ź', 'Ż', 'Ž':
		return "Z"
	case 'Æ':
		return "AE"
	case 'Œ':
		return "OE"
	case 'Þ':
		return "TH"
	case 'ß', 'ẞ':
		return "SS"
	case '‘', '’', 'ʼ', '`', '´':
		return "'"
	case '‐', '‑', '–', '—':
		return "-"
	}
	switch {
	case r >= 0x300 && r <= 0x36F: // combining diacritical marks
		return ""
	case r < 0x80 && isPrintable(byte(r)):
		return string(r)
	}
	return " "
}
