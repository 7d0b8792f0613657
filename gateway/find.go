// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"

	"github.com/nodogate/nodogate/iuv"
)

// Addressee is whom a message of the node was sent to.
type Addressee struct {
	School  SchoolCode // idPA
	Broker  string     // idBrokerPA
	Station string     // idStation
}

// FindPayable finds a notice for the node, which asks whether it can be paid.
// Nothing is written: asking never holds a notice. The errors come in the
// order of the protocol: configuration (errors.Is ErrUnknownSchool,
// ErrUnknownBroker, ErrUnknownStation), existence (ErrNotFound), state (as
// Notice.Askable). School is right whenever the configuration was.
func (s *Service) FindPayable(ctx context.Context, to Addressee, number iuv.Number) (Notice, School, error) {
	var n Notice
	var school School
	var other error // somebody pays the other option of its plan
	err := s.store.View(ctx, func(tx Tx) (err error) {
		var otherStation bool
		if school, otherStation, err = s.checkAddressee(tx, to); err != nil {
			return err
		}
		if otherStation {
			// A station of another school here: the node is set up wrongly.
			return ErrUnknownStation
		}
		if n, err = tx.Notice(to.School, number); err == nil {
			other = s.planFree(tx, &n, false, s.clock.Now())
		}
		return err
	})
	if err != nil {
		return Notice{}, school, err
	}
	if err := n.Askable(s.clock.Now()); err != nil {
		return n, school, err
	}
	return n, school, other
}

// CheckAddressee checks the configuration alone: ErrUnknownSchool,
// ErrUnknownBroker, ErrUnknownStation.
func (s *Service) CheckAddressee(ctx context.Context, to Addressee) error {
	return s.store.View(ctx, func(tx Tx) error {
		_, otherStation, err := s.checkAddressee(tx, to)
		if err == nil && otherStation {
			err = ErrUnknownStation
		}
		return err
	})
}

// addressed finds the school a message names; ErrUnknownSchool.
func addressed(tx Tx, code SchoolCode) (School, error) {
	school, err := tx.School(code)
	if isNotFound(err) {
		err = ErrUnknownSchool
	}
	return school, err
}

// checkAddressee checks, in the order of the protocol, the school, the broker
// and the station a message was sent to. otherStation says that broker and
// station are ours, but not this school's.
func (s *Service) checkAddressee(tx Tx, to Addressee) (school School, otherStation bool, err error) {
	school, err = addressed(tx, to.School)
	if err != nil || school.Broker == to.Broker && school.Station == to.Station {
		return school, false, err
	}
	knowsBroker, knowsStation, err := tx.KnowsStation(to.Broker, to.Station)
	switch {
	case err != nil:
		return School{}, false, err
	case !knowsBroker:
		return School{}, false, ErrUnknownBroker
	case !knowsStation:
		return School{}, false, ErrUnknownStation
	}
	return school, true, nil
}
