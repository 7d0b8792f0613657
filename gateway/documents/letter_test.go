// SPDX-License-Identifier: Apache-2.0

package documents

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nodogate/nodogate/gateway"
)

// invited is an invented payer with a letter.
func invited(n int, language string) gateway.Invited {
	return gateway.Invited{
		Payer:  gateway.Payer{School: "80014480828", ID: fmt.Sprint("y-", n), Code: "RSSMRA80A01H501U", FirstName: "Mario", LastName: "Rossi", Language: language},
		Pupils: []gateway.Pupil{{ID: "p-1", Code: "RSSMRA10A41H501F", FirstName: "Maria", LastName: "Rossi", Class: "3B"}},
		Code:   fmt.Sprintf("ABCD-EFGH-JKLM-NO%02d", n), Until: today.AddDate(0, 0, 90),
	}
}

func lettersOf(class string, list ...gateway.Invited) Letters {
	return Letters{School: school(), Register: "https://pagamenti.scuola.example/registrazione", Class: class, List: gateway.Invitations{Letters: list}, Created: today}
}

func renderLetters(t *testing.T, l Letters) []byte {
	t.Helper()
	var b, again bytes.Buffer
	if err := WriteLetters(&b, l); err != nil {
		t.Fatal(err)
	}
	if err := WriteLetters(&again, l); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Errorf("the same letters gave other bytes (%v)", err)
	}
	return b.Bytes()
}

func TestLetters(t *testing.T) {
	t.Parallel()
	hostile := invited(7, "fr")
	hostile.Payer.FirstName, hostile.Payer.LastName = strings.Repeat("Massimiliano ", 5)+"Ugo", strings.Repeat("Della Casa-", 6)
	for range 5 {
		hostile.Pupils = append(hostile.Pupils, gateway.Pupil{FirstName: "Maria Antonietta Giovanna", LastName: "Della Casa-Della Casa", Class: "3B-SCIENTIFICO"})
	}
	class := lettersOf("3B", invited(1, "it"), invited(2, "de"))
	self := invited(3, "")
	self.Pupils = []gateway.Pupil{{Code: self.Payer.Code, FirstName: "Mario", LastName: "Rossi"}}
	class.List.Letters = append(class.List.Letters, self)
	class.List.Proven = []gateway.Payer{{FirstName: "Lucia", LastName: "Verdi"}}
	odd := lettersOf("", hostile)
	odd.School.Name = strings.Repeat("Istituto Comprensivo Statale ", 6)
	odd.School.HelpText = strings.Repeat("Segreteria, dal lunedì al venerdì. ", 8)
	odd.Register = "https://" + strings.Repeat("pagamenti-", 12) + "scuola.example/registrazione"
	for name, l := range map[string]Letters{
		"letter": lettersOf("", invited(1, "it")), "letter-class": class, "letter-hostile": odd,
		"letter-en": lettersOf("", invited(1, "en")), "letter-sl": lettersOf("", invited(1, "sl")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := save(t, renderLetters(t, l))
			info := tool(t, "pdfinfo", file)
			pages := len(l.List.Letters)
			if l.Class != "" {
				pages++
			}
			for _, want := range []string{fmt.Sprintf(`Pages: +%d\n`, pages), `Tagged: +yes`, `Title: +Codic. di invito`} {
				if !regexp.MustCompile(want).MatchString(info) {
					t.Errorf("pdfinfo does not say %s:\n%s", want, info)
				}
			}
			text := tool(t, "pdftotext", "-layout", file, "-")
			text = rowGap.ReplaceAllString(columnGap.ReplaceAllString(text, "  "), "\n")
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(golden); err != nil || text != string(want) {
				t.Errorf("text differs from %s (run with -update and look; %v); got:\n%s", golden, err, text)
			}
			for _, i := range l.List.Letters {
				if strings.Contains(text, string(i.Payer.Code)) {
					t.Error("a letter prints its payer's fiscal code")
				}
			}
		})
	}
}

// Nothing runs over the page's edge, whatever the names.
func TestLettersStayOnThePage(t *testing.T) {
	t.Parallel()
	var many []gateway.Invited
	for n := range 60 {
		many = append(many, invited(n, Languages[n%len(Languages)]))
	}
	l := lettersOf("3B", many...)
	l.School.HelpText = strings.Repeat("Segreteria, dal lunedì al venerdì. ", 8)
	for range 30 {
		l.List.Proven = append(l.List.Proven, gateway.Payer{FirstName: "Lucia", LastName: strings.Repeat("Verdi ", 40)})
	}
	boxes := tool(t, "pdftotext", "-bbox", save(t, renderLetters(t, l)), "-")
	words := regexp.MustCompile(`xMin="([0-9.]+)" yMin="([0-9.]+)" xMax="([0-9.]+)" yMax="([0-9.]+)"`).FindAllStringSubmatch(boxes, -1)
	if len(words) < 5000 {
		t.Errorf("found %d words", len(words))
	}
	for _, m := range words {
		var x1, y1, x2, y2 float64
		if _, err := fmt.Sscan(m[1]+" "+m[2]+" "+m[3]+" "+m[4], &x1, &y1, &x2, &y2); err != nil {
			t.Fatal(err)
		}
		if x1 < 50 || x2 > 595-50 || y1 < 20 || y2 > 842-25 {
			t.Errorf("a word stands at %.0f..%.0f, %.0f..%.0f", x1, x2, y1, y2)
		}
	}
}

// The QR code of a letter is read by a reader that is not ours.
func TestLetterCodeIsRead(t *testing.T) {
	t.Parallel()
	file := save(t, renderLetters(t, lettersOf("", invited(1, "de"))))
	png := strings.TrimSuffix(file, ".pdf")
	tool(t, "pdftoppm", "-png", "-r", "150", "-singlefile", file, png)
	if got := strings.TrimSpace(tool(t, "zbarimg", "--quiet", "--raw", png+".png")); got != "https://pagamenti.scuola.example/registrazione?lang=de" {
		t.Errorf("the code says %q", got)
	}
}

// What a letter calls a field or a button, the portal calls it too.
func TestLetterWords(t *testing.T) {
	t.Parallel()
	all := map[string]*letterLanguage{"it": &letterItalian}
	for code, w := range letterWords {
		all[code] = w
	}
	if len(all) != len(gateway.Languages) {
		t.Errorf("%d languages, want %d", len(all), len(gateway.Languages))
	}
	for code, w := range all {
		portal, err := os.ReadFile(filepath.Join("..", "portal", "words", code+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"invitation = " + w.field, "submit = " + w.button, "submit = " + w.enter} {
			if !strings.Contains(string(portal), "\n"+line+"\n") {
				t.Errorf("%s: the portal has no %q", code, line)
			}
		}
		steps := strings.Join(w.steps[:], " ")
		for _, said := range []string{w.field, w.button, w.enter} {
			if !strings.Contains(steps, said) {
				t.Errorf("%s: the steps do not name %q", code, said)
			}
		}
		for name, s := range map[string]string{"title": w.title, "why": w.why, "what": w.what, "care": w.care, "help": w.help} {
			if s == "" {
				t.Errorf("%s has no %s", code, name)
			}
		}
		if strings.Count(w.until, "%s") != 1 || strings.Count(w.steps[0], "%s") != 1 || strings.Contains(w.steps[1]+w.steps[2], "%") {
			t.Errorf("%s: a day or an address has no place", code)
		}
	}
}
