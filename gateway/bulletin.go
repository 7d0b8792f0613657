// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/nodogate/nodogate/gateway/money"
)

// Bulletin (bollettino postale PA, TD 896) is what is printed of a notice for
// the counter of a post office. It holds nobody's notice: who is at the counter
// first pays it.
type Bulletin struct {
	School School
	Notice Notice
}

// MaxBulletin is the most that a bulletin has room for ("avviso analogico",
// importo: 999.999,99).
const MaxBulletin = money.Cents(99_999_999)

// ErrNoBulletin: a school of the cart has no postal account that bulletins may
// be printed for, or an amount is over MaxBulletin.
var ErrNoBulletin = errors.New("no bulletin can be printed")

// ErrLinkExpired: the link was good once.
var ErrLinkExpired = errors.New("the link is too old")

// Prints says whether bulletins of the school may be printed: it has a postal
// account, and Poste's authorisation for it.
func (s *School) Prints() bool {
	return s.Postal.Account != "" && s.Postal.Holder != "" && s.Postal.Authorization != ""
}

// printedLife is how long a cart that was only printed is waited for, should its
// notices stay payable for ever.
const printedLife = 90 * 24 * time.Hour

// Printed says that the cart was given to the payer on paper alone and waits for
// its receipts: no attempt is behind it, and no PSP knows of it.
func (c *Cart) Printed() bool { return c.State == CartRedirected && c.Redirect == "" }

// Bulletins are the notices of the cart that can be paid at a counter, with
// their schools, each as it is now; without the debtor in a guest's cart. Errors: ErrNoBulletin; of a cart in which
// nothing is left to pay, the ErrNotice… of its first notice.
func (s *Service) Bulletins(ctx context.Context, cart string) ([]Bulletin, error) {
	var list []Bulletin
	err := s.store.View(ctx, func(tx Tx) error {
		c, err := tx.Cart(cart)
		if err != nil {
			return err
		}
		list, err = bulletins(tx, c, s.clock.Now())
		return err
	})
	return list, err
}

func bulletins(tx Tx, c Cart, now time.Time) ([]Bulletin, error) {
	if c.Method != MethodBulletin {
		return nil, ErrNoBulletin
	}
	var list []Bulletin
	var first error
	for _, cn := range c.Notices {
		school, err := tx.School(cn.School)
		if err != nil {
			return nil, err
		}
		n, err := tx.Notice(cn.School, cn.Number)
		if err != nil {
			return nil, err
		}
		if !school.Prints() {
			return nil, ErrNoBulletin
		}
		// One that a payer at a counter holds is printed too: that payment may
		// come to nothing.
		if err := n.Payable(now); err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		if n.Amount > MaxBulletin {
			return nil, ErrNoBulletin
		}
		// Whom a notice is for, only the family and the school may read: who pays
		// as a guest knows two numbers of it, and no more.
		if c.Account == "" && c.School == "" {
			n.Debtor = Debtor{Code: Anonymous}
		}
		list = append(list, Bulletin{school, n})
	}
	if len(list) == 0 {
		return nil, first
	}
	return list, nil
}

// The link to the bulletins of a cart works without logging in, for whoever has
// it: an office hands it to a family. PSPs know a cart's id (paymentNote), so
// what guards it is a code of ours over the id and the link's last moment.
const (
	linkLife = 24 * time.Hour
	linkStep = time.Hour // links asked for within it are the same
	linkSize = 20        // bytes of the code
)

// BulletinURL is a link to the printed bulletins of the cart, good for a day at
// least; empty when there is nothing to print.
func (s *Service) BulletinURL(ctx context.Context, c Cart) (string, error) {
	if c.Method != MethodBulletin {
		return "", nil
	}
	now := s.clock.Now()
	err := s.store.View(ctx, func(tx Tx) error {
		_, err := bulletins(tx, c, now)
		return err
	})
	switch {
	case errors.Is(err, ErrNoBulletin), errors.Is(err, ErrNoticePaid), errors.Is(err, ErrNoticeCancelled), errors.Is(err, ErrNoticeExpired),
		errors.Is(err, ErrNoticeDraft), errors.Is(err, ErrNoticeHeld):
		return "", nil
	case err != nil:
		return "", err
	}
	until := binary.BigEndian.AppendUint64(nil, uint64(now.Truncate(linkStep).Add(linkStep+linkLife).Unix()))
	link := base64.RawURLEncoding.EncodeToString(append(until, s.linkCode(c.ID, until)...))
	return s.cfg.PublicURL.JoinPath("bollettini", c.ID, link).String(), nil
}

// BulletinsByLink are the Bulletins of a cart for who has a link to them.
// ErrNotFound for a link that we never made, ErrLinkExpired for an old one.
func (s *Service) BulletinsByLink(ctx context.Context, cart, link string) ([]Bulletin, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(link)
	if err != nil || len(b) != 8+linkSize || !hmac.Equal(b[8:], s.linkCode(cart, b[:8])) {
		return nil, ErrNotFound
	}
	if s.clock.Now().Unix() >= int64(binary.BigEndian.Uint64(b)) {
		return nil, ErrLinkExpired
	}
	return s.Bulletins(ctx, cart)
}

func (s *Service) linkCode(cart string, until []byte) []byte {
	return s.mac("bulletins", cart+"\x00"+string(until))[:linkSize]
}

// print gives the cart to the payer on paper: nothing is opened anywhere, and
// the notices stay free for the counter.
func (s *Service) print(tx Tx, cart *Cart, now time.Time) error {
	for _, n := range cart.Notices {
		// Who pays it online now shall not be given a paper too.
		if _, err := tx.LiveAttempt(n.School, n.Number); err == nil {
			return ErrInProgress
		} else if !isNotFound(err) {
			return err
		}
	}
	if _, err := bulletins(tx, *cart, now); err != nil {
		return err
	}
	cart.State = CartRedirected
	return nil
}

// readPrinted brings printed carts to the end that their notices tell. Nothing
// else would: their receipts come from a counter, which knows no cart. A cart
// that nobody reads needs no end.
func (s *Service) readPrinted(ctx context.Context, carts []Cart) error {
	for i := range carts {
		if !carts[i].Printed() {
			continue
		}
		c := carts[i]
		c.Notices = slices.Clone(c.Notices)
		now := s.clock.Now()
		var changed bool
		err := s.store.View(ctx, func(tx Tx) (err error) {
			changed, err = followNotices(tx, &c, now)
			return err
		})
		if err != nil {
			return err
		}
		if !changed {
			continue
		}
		err = s.store.Update(ctx, func(tx Tx) (err error) {
			if c, err = tx.LockCart(c.ID); err != nil || !c.Printed() {
				return err
			}
			if changed, err = followNotices(tx, &c, now); err != nil || !changed {
				return err
			}
			return tx.SaveCart(c)
		})
		if err != nil {
			return err
		}
		carts[i] = c
	}
	return nil
}

// followNotices moves a printed cart as far as its notices are.
func followNotices(tx Tx, c *Cart, now time.Time) (changed bool, err error) {
	waiting := false
	for i := range c.Notices {
		cn := &c.Notices[i]
		if cn.Settled {
			continue
		}
		n, err := tx.Notice(cn.School, cn.Number)
		if err != nil {
			return false, err
		}
		switch n.StateAt(now) {
		case NoticePaid:
			cn.Settled, changed = true, true
		case NoticeOpen:
			waiting = true
		}
	}
	switch {
	case !waiting, !now.Before(c.CreatedAt.Add(printedLife)):
		c.close(CartClosedExpired, now)
		return true, nil
	case changed:
		c.ChangedAt = now
		c.Version++
	}
	return changed, nil
}
