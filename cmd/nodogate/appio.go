// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/notify"
)

// appIO is the way to App IO; nil where no key is configured.
func (cfg config) appIO() (*notify.AppIO, error) {
	keys, err := readAppIOKeys(cfg.AppIOKeys)
	if err != nil {
		return nil, fmt.Errorf("NODOGATE_APPIO_KEYS: %w", err)
	}
	if cfg.AppIOKey == "" && len(keys) == 0 {
		return nil, nil
	}
	if !slices.Contains(cfg.Faces, "creditor") {
		return nil, errors.New("NODOGATE_APPIO_KEY, NODOGATE_APPIO_KEYS: App IO pays through the national node, which needs creditor among NODOGATE_FACES")
	}
	app, err := notify.NewAppIO(cfg.AppIOURL, cfg.AppIOKey, keys, cfg.AllowPrivate)
	if err != nil {
		return nil, fmt.Errorf("NODOGATE_APPIO_URL, NODOGATE_APPIO_KEY, NODOGATE_APPIO_KEYS: %w", err)
	}
	return app, nil
}

// readAppIOKeys reads a YAML file of lines like "80014480828: key". No error says
// what stands in it.
func readAppIOKeys(file string) (map[gateway.SchoolCode]string, error) {
	if file == "" {
		return nil, nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o027 != 0 {
		return nil, fmt.Errorf("%s has mode %04o: others can read the keys or its group can write them; make it 0600", file, info.Mode().Perm())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var lines map[string]string
	if yaml.Unmarshal(text, &lines) != nil || len(lines) == 0 {
		return nil, fmt.Errorf("%s must have a line for each school, with its fiscal code, a colon and the key of its service", file)
	}
	keys := map[gateway.SchoolCode]string{}
	for code, key := range lines {
		school, err := gateway.ParseSchoolCode(code)
		if err != nil {
			return nil, fmt.Errorf("%s: each line must begin with a school's fiscal code of 11 digits", file)
		}
		keys[school] = key
	}
	return keys, nil
}
