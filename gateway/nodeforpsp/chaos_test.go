// SPDX-License-Identifier: Apache-2.0

package nodeforpsp_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/gatewaytest"
	"github.com/nodogate/nodogate/gateway/nodeforpsp"
	"github.com/nodogate/nodogate/gateway/pafornode"
	"github.com/nodogate/nodogate/gateway/pagopa"
	"github.com/nodogate/nodogate/gateway/soap"
	"github.com/nodogate/nodogate/gateway/store"
	"github.com/nodogate/nodogate/gateway/store/storetest"
)

// long says that the proofs are to run in full, not in the form that every test
// run has time for.
func long() bool {
	return os.Getenv("NODOGATE_CHAOS_MINUTES") != "" || os.Getenv("NODOGATE_TEST_LONG") != ""
}

// A mutator makes messages out of valid ones. All it does follows from its
// random source.
type mutator struct {
	*rand.Rand
	valid []sample
	words []string // values worth trying
}

// sample is a valid element and the face that takes it.
type sample struct{ path, element string }

// few is mostly one: a message that is wrong in one thing gets furthest.
func (m *mutator) few() int { return 1 + m.IntN(2)*m.IntN(3) }

func (m *mutator) pick(list []string) string { return list[m.IntN(len(list))] }

// message is one message: half of them changed as XML, half as bytes.
func (m *mutator) message() (path, body string) {
	s := m.valid[m.IntN(len(m.valid))]
	body = envelope(s.element)
	if m.IntN(2) == 0 {
		body = m.grammar(body)
	} else {
		body = m.bytes(body)
	}
	if m.IntN(50) == 0 { // at the wrong door
		s.path = m.pick([]string{nodeforpsp.Path, pafornode.Path})
	}
	return s.path, body
}

// grammar changes the tree of a message: what comes out is well formed, most of
// the time.
func (m *mutator) grammar(body string) string {
	doc := etree.NewDocument()
	if err := doc.ReadFromString(body); err != nil {
		panic(err)
	}
	for range m.few() {
		all := doc.FindElements("//*")
		if len(all) == 0 {
			break
		}
		el := all[m.IntN(len(all))]
		// Mostly inside the operation, where the schema speaks.
		if inner := doc.FindElements("//*/*/*/*"); len(inner) > 0 && m.IntN(8) > 0 {
			el = inner[m.IntN(len(inner))]
		}
		parent := el.Parent()
		other := all[m.IntN(len(all))]
		switch m.IntN(24) {
		case 0: // gone
			if parent != nil {
				parent.RemoveChild(el)
			}
		case 1: // twice
			if parent != nil {
				parent.InsertChildAt(el.Index(), el.Copy())
			}
		case 2: // out of order
			if parent != nil {
				parent.RemoveChild(el)
				parent.InsertChildAt(m.IntN(len(parent.Child)+1), el)
			}
		case 3: // another name
			el.Tag = other.Tag
		case 4: // another namespace
			el.Space = m.pick([]string{"", "m", "soapenv", "x", "xml", "xmlns"})
		case 5:
			el.CreateAttr(m.pick([]string{"id", "xsi:nil", "xmlns", "xmlns:m", "xml:lang", "soapenv:mustUnderstand", "m:x"}), m.pick(m.words))
		case 6: // a piece of another message
			d := etree.NewDocument()
			if err := d.ReadFromString(m.valid[m.IntN(len(m.valid))].element); err == nil {
				list := d.FindElements("//*")
				el.AddChild(list[m.IntN(len(list))].Copy())
			}
		case 7: // many times
			if parent != nil {
				for range m.IntN(40) {
					parent.InsertChildAt(el.Index(), el.Copy())
				}
			}
		case 8: // deep
			deep := el
			for range m.IntN(40) {
				deep = deep.CreateElement(el.Tag)
			}
		case 9:
			el.CreateComment("comment")
		case 10:
			el.CreateProcInst("php", "echo 1")
		case 11:
			el.CreateCData(m.pick(m.words))
		default: // another value
			if len(el.ChildElements()) == 0 {
				el.SetText(m.pick(m.words))
			}
		}
	}
	out, err := doc.WriteToString()
	if err != nil {
		panic(err)
	}
	return out
}

// hostile are pieces of XML that do harm in the wrong place.
var hostile = []string{
	"<!DOCTYPE a [<!ENTITY b 'c'>]>", "&b;", "&amp;", "&#0;", "&#x1F600;", "&#xD800;", "<![CDATA[", "]]>", "<!--", "-->", "<?xml version='1.0'?>", "<?x?>",
	"\x00", "\xff", "\xef\xbb\xbf", "\xed\xa0\x80", "\u2028", "\ufffe", "é", "è", "<", ">", "/>", "</", "\"", "'", "=", ":", "xmlns=''", " xsi:nil='true'",
	"<a>", "</soapenv:Body>", "<soapenv:Body>", "-", "+", ".", ",", "e5", "\r\n", "\t", " ", "0", "9", strings.Repeat("9", 30), strings.Repeat("A", 300),
}

// bytes changes the bytes of a message.
func (m *mutator) bytes(body string) string {
	b := []byte(body)
	for range m.few() {
		if len(b) < 2 {
			break
		}
		at := m.IntN(len(b))
		to := min(len(b), at+1+m.IntN(40))
		switch m.IntN(16) {
		case 0:
			b[at] ^= 1 << m.IntN(8)
		case 1:
			b[at] = byte(m.IntN(256))
		case 2:
			b = slices.Insert(b, at, byte(m.IntN(256)))
		case 3:
			b = slices.Delete(b, at, to)
		case 4:
			b = slices.Insert(b, to, slices.Clone(b[at:to])...)
		case 5:
			b = b[:at]
		case 6:
			b[at], b[to-1] = b[to-1], b[at]
		case 7:
			b = slices.Insert(b, at, []byte(m.pick(hostile))...)
		default: // a digit stays a digit: numbers, amounts, dates
			if i := bytes.IndexAny(b[at:], "0123456789"); i >= 0 {
				b[at+i] = byte('0' + m.IntN(10))
			}
		}
	}
	return string(b)
}

// judge says what is wrong with an answer, or nothing.
func judge(path string, status int, answer []byte) error {
	switch status {
	case http.StatusOK, http.StatusBadRequest:
	case http.StatusRequestEntityTooLarge:
		if len(answer) > 0 {
			return fmt.Errorf("a body with status %d", status)
		}
		return nil
	default:
		return fmt.Errorf("status %d", status)
	}
	env, err := soap.Parse(answer)
	if err != nil {
		return err
	}
	if fault := env.Fault(); (fault != nil) != (status == http.StatusBadRequest) {
		return fmt.Errorf("status %d, a Fault: %t", status, fault != nil)
	} else if fault != nil {
		return nil
	}
	read := pagopa.ReadNodeForPspResponse
	if path == pafornode.Path {
		read = pagopa.ReadPaForNodeResponse
	}
	if _, err = read(env); err == nil && bytes.Contains(answer, []byte("_SYSTEM_ERROR")) {
		err = fmt.Errorf("a system error, while the database answers")
	}
	return err
}

// errorLog keeps what was logged as an error, by us or by the HTTP server.
type errorLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *errorLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) < 20 {
		l.lines = append(l.lines, string(p))
	}
	return len(p), nil
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// varying is what differs between answers that say the same.
var varying = regexp.MustCompile(`[0-9a-f]{32}|[0-9]{5,}`)

// Mutated messages meet no panic, no 5xx, no answer that is not one, and leave
// no memory behind.
func TestChaosMutatedMessages(t *testing.T) {
	messages, seed := 4000, uint64(20261123)
	if long() {
		messages = 100_000
	}
	if s := os.Getenv("NODOGATE_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d messages, NODOGATE_TEST_SEED=%d", messages, seed)

	g := gatewaytest.New(t)
	var errs errorLog
	server := httptest.NewUnstartedServer(faces(g.Service, nodeforpsp.Config{
		Duration: soap.NewDuration(g.Reg), Log: slog.New(slog.NewTextHandler(&errs, &slog.HandlerOptions{Level: slog.LevelError})),
	}))
	server.Config.ErrorLog = log.New(&errs, "", 0)
	server.Start()
	defer server.Close()
	f := &face{Gateway: g, url: server.URL}
	valid, words := samples(t, f, max(60, messages/100))

	const callers = 4
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	statuses := map[string]int{}
	distinct := map[string]string{}
	send := func(i int) error {
		m := mutator{rand.New(rand.NewPCG(seed, uint64(i))), valid, words}
		path, body := m.message()
		resp, err := client.Post(server.URL+path, soap.ContentType, strings.NewReader(body))
		if err != nil {
			return fmt.Errorf("message %d: %w\n%q", i, err, body)
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil {
			err = judge(path, resp.StatusCode, answer)
		}
		if err != nil {
			return fmt.Errorf("message %d: %w\n%q\n%q", i, err, body, answer)
		}
		kind := fmt.Sprint(resp.StatusCode)
		if resp.StatusCode == http.StatusOK {
			kind += " " + code(t, string(answer))
		}
		mu.Lock()
		defer mu.Unlock()
		statuses[kind]++
		if same := varying.ReplaceAllString(string(answer), "#"); len(distinct) < 2000 && resp.StatusCode == http.StatusOK {
			distinct[same] = string(answer)
		}
		return nil
	}
	run := func(from, to int) {
		var next atomic.Int64
		next.Store(int64(from))
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for i := int(next.Add(1)) - 1; i < to && !t.Failed(); i = int(next.Add(1)) - 1 {
					if err := send(i); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
	warm := messages / 20 // caches and pools fill
	run(0, warm)
	before, start := heap(), time.Now()
	run(warm, messages)
	took, after := time.Since(start), heap()
	runtime.KeepAlive(valid) // it was there before
	grown := int64(after) - int64(before)
	t.Logf("%d messages in %v, %d distinct answers; the heap grew by %d kB to %d kB", messages-warm, took.Round(time.Millisecond), len(distinct), grown>>10, after>>10)
	for _, kind := range slices.Sorted(maps.Keys(statuses)) {
		t.Logf("%6d %s", statuses[kind], kind)
	}
	if grown > 32<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if len(errs.lines) > 0 {
		t.Errorf("errors were logged:\n%s", strings.Join(errs.lines, ""))
	}
	if statuses["200 OK"] == 0 || statuses["400"] == 0 || statuses["200 PPT_SINTASSI_EXTRAXSD"] == 0 || statuses["200 PAA_SINTASSI_XSD"] == 0 {
		t.Error("the mutations do not reach everything")
	}
	var answers []string
	for _, a := range distinct {
		answers = append(answers, a)
	}
	validate(t, answers)
}

// samples are valid requests to every operation, about so many notices, and the
// values that stand in them.
func samples(t *testing.T, f *face, notices int) (valid []sample, words []string) {
	t.Helper()
	var err error
	f.postal, _, err = f.Service.AddSchool(ctx, gatewaytest.Operator, gateway.NewSchool{
		Code: string(gatewaytest.OtherCode), Name: "Liceo Galilei", IBAN: postalIBAN, Segregation: "01",
		PostalAccount: postalAccount, PostalIBAN: postalIBAN, PostalHolder: "Liceo Galilei", PostalAuth: "AUT. DB/1",
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.OpenContribution(ctx, gatewaytest.Operator, f.postal.Code, gateway.NewContribution{Description: "Contributo", Amount: 5000, Min: 1, Free: true, DueDate: "2026-12-31"})
	if err != nil {
		t.Fatal(err)
	}
	const gift = "<contributoVolontario><codiceFiscale>RSSMRA80A01H501U</codiceFiscale><nominativo>Mario Rossi</nominativo><importo>12.34</importo></contributoVolontario>"
	node := func(s fmt.Stringer) { valid = append(valid, sample{nodeforpsp.Path, s.String()}) }
	creditor := func(name, content string) {
		valid = append(valid, sample{pafornode.Path, creditorRoot(name, toPostal+content).String()})
	}
	node(demand(one, c.Service, gift))
	creditor("paDemandPaymentNoticeRequest", "<idServizio>00001</idServizio>"+element("idSoggettoServizio", c.Service)+
		element("datiSpecificiServizioRequest", base64.StdEncoding.EncodeToString([]byte(gift))))
	words = []string{
		"", " ", "0", "-1", "0.00", "0.01", "1e3", "16.5", "16,50", "+16.50", "016.50", "999999999.99", "1000000000.00", "OK", "KO", "ok", "true", "2026-02-30", "2026-12-31",
		"2026-12-31Z", "0000-00-00", "99999999999999999999", "1000", "1800000", "1800001", "è", "\u0663", "a\nb", " a ", "<>&\"'", "]]>", "' OR 1=1 --", "ANONIMO", "POSTAL", "PAGOPA",
		"80014480828", string(gatewaytest.OtherCode), "97735020584", "301202600000004244", "901202600000004244", "YQ==", "Y", strings.Repeat("a", 36), strings.Repeat("é", 141),
		strings.Repeat("a", 256), strings.Repeat("x", 66<<10), pspPassword, "ABI00002", key(1), key(2),
	}
	for i := range notices {
		n := f.IssueAt(f.postal.Code, func(n *gateway.NewNotice) {
			if i%6 == 0 {
				n.Amount = 3250
				n.Transfers = []gateway.NewTransfer{{Amount: 1650}, {Amount: 1600, Stamp: &gateway.Stamp{Hash: "ERERERERERERERERERERERERERERERERERERERERERE=", Province: "GR"}}}
			}
		})
		number := n.Number.String()
		node(verify(one, string(n.School), number))
		node(bollettino(two, postalAccount, number))
		node(activation(1, n, ""))
		with := activation(2, n, key(i))
		with.life, with.due, with.note = "900000", "2026-12-31", "cart"
		node(with)
		qr := qrCode(string(n.School), number)
		creditor("paVerifyPaymentNoticeReq", qr)
		creditor("paGetPaymentReq", qr+"<amount>1.00</amount><paymentNote>cart</paymentNote><transferType>POSTAL</transferType><dueDate>2026-12-31</dueDate>")
		creditor("paGetPaymentV2Request", qr)
		for version, root := range map[int]string{1: "paSendRTReq", 2: "paSendRTV2Request"} {
			creditor(root, sendRT(version, n, fmt.Sprint("rt-", i%40)))
		}
		if i%2 == 0 {
			tok := f.take(t, n)
			words = append(words, tok)
			node(paid(1, tok).by(key(100 + i)))
			node(failed(1, tok))
			several := paid(2, tok, f.take(t, f.Issue()))
			if i%6 == 0 {
				several.details += "<marcheDaBollo>" + element("marcaDaBollo", element("paymentToken", tok)+"<idTransfer>2</idTransfer><MBDAttachment>YQ==</MBDAttachment>") + "</marcheDaBollo>"
			}
			node(several)
		}
	}
	return valid, words
}

// secondProcess names the database of a second process, which is this test
// binary again.
const secondProcess = "NODOGATE_TEST_SECOND_PROCESS"

// TestSecondProcess is no test of its own: it serves the faces for another
// process until its standard input ends.
func TestSecondProcess(t *testing.T) {
	address := os.Getenv(secondProcess)
	if address == "" {
		t.Skip("runs as the second process of TestChaosActivations")
	}
	f := newFace(t, gatewaytest.On(t, openStore(t, address)))
	fmt.Println("listening", f.url)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// openStore opens a database that may be there already.
func openStore(t *testing.T, address string) *store.DB {
	t.Helper()
	db, err := store.OpenMigrated(ctx, store.Config{URL: address, Secret: storetest.Secret, Now: storetest.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.CheckInvariants(ctx); err != nil {
			t.Errorf("broken at the end of the test:\n%v", err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// startSecond starts the second process and gives the address of its faces.
func startSecond(t *testing.T, database string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestSecondProcess$", "-test.timeout", "30m")
	cmd.Env = append(os.Environ(), secondProcess+"="+database)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	var output strings.Builder
	t.Cleanup(func() {
		stdin.Close()
		for lines.Scan() {
			output.WriteString(lines.Text() + "\n")
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("second process: %v\n%s", err, &output)
		}
	})
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
			return url
		}
		output.WriteString(lines.Text() + "\n")
	}
	t.Fatal("the second process did not start")
	return ""
}

// Of many who want a notice at once, through two processes on one PostgreSQL,
// one gets a token; by one key they all get the same.
func TestChaosActivations(t *testing.T) {
	notices, callers := 20, 16
	if long() {
		notices, callers = 200, 64
	}
	database := storetest.NewPostgres(t)
	f := newFace(t, gatewaytest.On(t, openStore(t, database)))
	urls := []string{f.url + nodeforpsp.Path, startSecond(t, database) + nodeforpsp.Path}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer client.CloseIdleConnections()
	post := func(i int, ask activate) (string, error) {
		resp, err := client.Post(urls[i%2], soap.ContentType, strings.NewReader(envelope(ask.String())))
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		return string(b), err
	}
	start := time.Now()
	for i := range notices {
		n := f.Issue()
		oneKey := i%4 == 0
		ask := activation(1+i%2, n, "")
		answers, errs := make([]string, callers), make([]error, callers)
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				mine := ask
				switch {
				case oneKey:
					mine.key = key(i)
				case c%3 == 0:
					mine.key = key(1000 + i*callers + c)
				}
				answers[c], errs[c] = post(c, mine)
			})
		}
		wg.Wait()
		codes, tokens := map[string]int{}, map[string]bool{}
		for c, answer := range answers {
			if errs[c] != nil {
				t.Fatal(errs[c])
			}
			codes[code(t, answer)]++
			if found := paymentToken.FindStringSubmatch(answer); found != nil {
				tokens[found[1]] = true
			}
		}
		if won := codes["OK"]; len(tokens) != 1 || oneKey && won != callers || !oneKey && (won != 1 || codes["PPT_PAGAMENTO_IN_CORSO"] != callers-1) {
			t.Errorf("notice %d: %d tokens, answers %v", i, len(tokens), codes)
		}
		n, err := f.Notice(ctx, n.School, n.Number)
		if err != nil || n.Token == nil || !tokens[n.Token.ID] {
			t.Errorf("notice %d: the token is %+v, %v", i, n.Token, err)
		}
		events, err := f.Events(ctx, n.School, n.Number)
		if err != nil || len(events) != 2 {
			t.Errorf("notice %d: %d events, want its issue and one start; %v", i, len(events), err)
		}
	}
	t.Logf("%d notices x %d activations from two processes in %v", notices, callers, time.Since(start).Round(time.Millisecond))
}
