// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"github.com/nodogate/nodogate/gateway"
)

// sealHead is the newest link of a school's chain, as it is printed and as
// --against reads it again.
type sealHead struct {
	School   string `json:"school"`
	Sequence int64  `json:"sequence"`
	Hash     string `json:"hash"`
}

func receiptsVerify(ctx context.Context, c cli, args []string) error {
	fs := newFlags("receipts verify")
	asJSON := fs.Bool("json", false, "print JSON, to be kept elsewhere for --against")
	school := fs.String("school", "", "`CF` of one school; all schools without it")
	against := fs.String("against", "", "`FILE` of what --json printed at an earlier time: those heads must be in the chains still")
	if err := parse(fs, args); err != nil {
		return err
	}
	known, err := readHeads(*against)
	if err != nil {
		return err
	}
	return withService(ctx, c, func(svc *gateway.Service) error {
		schools, err := svc.Schools(ctx)
		if err != nil {
			return err
		}
		there := map[gateway.SchoolCode]bool{}
		records := []record{}
		for _, s := range schools {
			there[s.Code] = true
			if *school != "" && string(s.Code) != *school {
				continue
			}
			report, err := svc.VerifySeals(ctx, s.Code, known[s.Code])
			if err != nil {
				return err
			}
			records = append(records, record{
				"school": s.Code, "sequence": report.Head.Sequence, "waiting": report.Waiting, "hash": hex.EncodeToString(report.Head.Hash[:]),
			})
		}
		if *school != "" && len(records) == 0 {
			return fmt.Errorf("no school %s here; `nodogate school list` lists them", *school)
		}
		for code := range known {
			if !there[code] && *school == "" {
				return fmt.Errorf("school %s stands in %s and is not here any more", code, *against)
			}
		}
		return printRecords(c, *asJSON, []string{"school", "sequence", "waiting", "hash"}, records)
	})
}

// readHeads reads what receipts verify --json printed; nothing for no file.
func readHeads(file string) (map[gateway.SchoolCode]gateway.Seal, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []sealHead
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s is not what `nodogate receipts verify --json` prints: %w", file, err)
	}
	heads := map[gateway.SchoolCode]gateway.Seal{}
	for _, h := range list {
		seal := gateway.Seal{Sequence: h.Sequence}
		if hash, err := hex.DecodeString(h.Hash); err != nil || copy(seal.Hash[:], hash) != len(seal.Hash) {
			return nil, fmt.Errorf("%s: the hash of school %s is not 64 hexadecimal digits", file, h.School)
		}
		heads[gateway.SchoolCode(h.School)] = seal
	}
	return heads, nil
}
