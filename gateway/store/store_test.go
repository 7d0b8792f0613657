// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/store/storetest"
	"github.com/nodogate/nodogate/iuv"
)

var nowForTest = storetest.Now

func TestSQLite(t *testing.T)     { storetest.Run(t, storetest.NewSQLite) }
func TestPostgres(t *testing.T)   { storetest.Run(t, storetest.NewPostgres) }
func TestSameTables(t *testing.T) { storetest.SameTables(t) }

// PostgreSQL ends one of two transactions that wait for each other; it must run
// again, and both be done.
func TestDeadlockIsRunAgain(t *testing.T) {
	t.Parallel()
	db := storetest.OpenPostgres(t)
	seg, err := iuv.ParseSegregation("01")
	if err != nil {
		t.Fatal(err)
	}
	const school = gateway.SchoolCode("80014480828")
	numbers := []iuv.Number{iuv.New(seg, 1), iuv.New(seg, 2)}
	err = db.Update(t.Context(), func(tx gateway.Tx) error {
		err := tx.InsertSchool(gateway.School{Code: school, Name: "A", Segregation: seg, CreatedAt: storetest.Now(), Version: 1})
		for _, n := range numbers {
			_, err2 := tx.InsertNotices([]gateway.Notice{{
				School: school, Number: n, State: gateway.NoticeOpen, Version: 1, Amount: 1,
				DueDate: gateway.Date{Year: 2026, Month: 12, Day: 31}, CreatedAt: storetest.Now(), ChangedAt: storetest.Now(),
			}})
			err = errors.Join(err, err2)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var both, done sync.WaitGroup
	both.Add(2)
	var runs atomic.Int32
	for i := range 2 {
		done.Go(func() {
			first := true
			err := db.Update(t.Context(), func(tx gateway.Tx) error {
				runs.Add(1)
				for j := range 2 {
					n, err := tx.LockNotice(school, numbers[(i+j)%2])
					if err != nil {
						return err
					}
					n.Version++
					if err := tx.SaveNotice(n); err != nil {
						return err
					}
					if first {
						first = false
						both.Done()
						both.Wait() // now each holds one and wants the other
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("Update = %v", err)
			}
		})
	}
	done.Wait()
	if runs.Load() < 3 {
		t.Errorf("%d runs, want 3 or more: the deadlock makes one run again", runs.Load())
	}
	for _, number := range numbers {
		err := db.View(t.Context(), func(tx gateway.Tx) error {
			n, err := tx.Notice(school, number)
			if n.Version != 3 {
				t.Errorf("notice %s has version %d, want 3", number, n.Version)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
