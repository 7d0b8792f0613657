// SPDX-License-Identifier: Apache-2.0

package portal

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/nodogate/nodogate/gateway"
	"github.com/nodogate/nodogate/gateway/money"
)

// What a class representative (rappresentante di classe) sees, by the school's
// delegation: names, amounts and states, to know who has paid for the trip.
// Neither codes nor numbers: nothing here can be paid or opened.

type classPage struct {
	frame
	Proven  bool
	Classes []classOf
}

type classOf struct {
	School, Class string
	Collections   []collection
}

// collection is one thing that the class pays: equal words and day.
type collection struct {
	Description string
	Due         gateway.Date
	Paid, All   int
	Received    money.Cents
	Lines       []classLine
}

type classLine struct {
	Name   string
	Amount money.Cents
	State  shownState
}

var classStates = map[gateway.NoticeState]shownState{
	gateway.NoticeOpen: stateOpen, gateway.NoticePaid: statePaid, gateway.NoticeExpired: stateExpired, gateway.NoticeCancelled: stateCancelled,
}

func (p *portal) class(c *gin.Context) {
	a := account(c)
	list, err := p.svc.ClassNotices(c.Request.Context(), *a)
	if err != nil {
		p.fail(c, err)
		return
	}
	page := classPage{frame: p.frame(c), Proven: a.Proven}
	slices.SortStableFunc(list, func(a, b gateway.ClassNotice) int {
		return cmp.Or(strings.Compare(a.SchoolName, b.SchoolName), strings.Compare(string(a.School), string(b.School)), strings.Compare(a.Class, b.Class),
			strings.Compare(b.DueDate.String(), a.DueDate.String()), strings.Compare(a.Description, b.Description), strings.Compare(a.Name, b.Name))
	})
	var last gateway.ClassNotice
	for i, n := range list {
		sameClass := i > 0 && n.School == last.School && n.Class == last.Class
		if !sameClass {
			page.Classes = append(page.Classes, classOf{School: n.SchoolName, Class: n.Class})
		}
		class := &page.Classes[len(page.Classes)-1]
		if !sameClass || n.Description != last.Description || n.DueDate != last.DueDate {
			class.Collections = append(class.Collections, collection{Description: n.Description, Due: n.DueDate})
		}
		last = n
		of := &class.Collections[len(class.Collections)-1]
		of.Lines = append(of.Lines, classLine{n.Name, n.Amount, classStates[n.State]})
		if n.State == gateway.NoticeCancelled {
			continue // nobody waits for it
		}
		of.All++
		if n.State == gateway.NoticePaid {
			of.Paid++
			if of.Received, err = of.Received.Add(n.Amount); err != nil {
				p.fail(c, err)
				return
			}
		}
	}
	for i := range page.Classes {
		// What the school cancelled for all is nobody's to collect.
		page.Classes[i].Collections = slices.DeleteFunc(page.Classes[i].Collections, func(of collection) bool { return of.All == 0 })
	}
	page.Classes = slices.DeleteFunc(page.Classes, func(of classOf) bool { return len(of.Collections) == 0 })
	p.render(c, http.StatusOK, "class", page)
}
