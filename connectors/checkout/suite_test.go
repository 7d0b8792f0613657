// SPDX-License-Identifier: Apache-2.0

package checkout

import (
	"io"
	"net/http"
	"testing"

	"github.com/nodogate/nodogate/connectors/connectortest"
)

func TestConnector(t *testing.T) {
	t.Parallel()
	connectortest.Run(t, func(*testing.T) connectortest.Fixture {
		return connectortest.Fixture{
			Driver: Driver,
			Accept: func(w http.ResponseWriter, _ *http.Request, page string) {
				w.Header().Set("Location", page)
				w.WriteHeader(http.StatusFound)
			},
			Refuse: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusUnprocessableEntity)
				io.WriteString(w, `{"title":"Cart refused","status":422,"detail":"famiglia@posta.example is no address"}`)
			},
		}
	})
}
