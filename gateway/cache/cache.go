// SPDX-License-Identifier: Apache-2.0

// Package cache keeps in Redis what may be lost: the portal's sessions, and hints
// between processes that a PSP's breaker is open. One Redis, a cluster, or a
// primary behind sentinels are all the same to it.
//
// What a caller gets wrong: nothing here is the truth about money, a lock, or
// idempotency. A Redis that is away costs sessions, and nothing else.
package cache

import (
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Why an address of Redis is refused. None of them repeats it: there may be a
// password in it.
var (
	errScheme   = errors.New("must be redis://host:6379, rediss:// with TLS, or unix:///path")
	errCommas   = errors.New("has several hosts: give the first, and each other one as a parameter, ?addr=host:port")
	errAddr     = errors.New("has an addr parameter that is no host:port")
	errDatabase = errors.New("names a database, and a cluster has only one: leave the number out")
	errSentinel = errors.New("has several addr parameters and an empty master_name: name the primary that the sentinels watch, or leave it out for a cluster")
	errSocket   = errors.New("is a socket: addr and master_name are for redis:// and rediss://")
	errForm     = errors.New("has a parameter or a database number that is none; see docs/install.md")
)

// NewClient reads an address and makes the client for it; it calls nobody.
//
//	redis://user:password@host:6379/0                       one Redis
//	redis://host1:6379?addr=host2:6379&addr=host3:6379      a cluster
//	redis://host1:26379/0?master_name=NAME&addr=host2:26379 a primary behind sentinels
//
// rediss:// is the same over TLS, unix:///path/to/socket one Redis by its socket. A
// cluster of which one address is enough repeats it as addr. The user and password
// before the host are those of the sentinels where there are some, and those of
// Redis are the parameters username and password.
func NewClient(address string) (redis.UniversalClient, error) {
	if rest, ok := strings.CutPrefix(strings.TrimPrefix(address, "rediss://"), "redis://"); ok || rest != address {
		hosts, _, _ := strings.Cut(rest, "?")
		if hosts, _, _ = strings.Cut(hosts[strings.LastIndexByte(hosts, '@')+1:], "/"); strings.ContainsRune(hosts, ',') {
			return nil, errCommas
		}
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" && u.Scheme != "unix" || u.Scheme != "unix" && u.Hostname() == "" {
		return nil, errScheme
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errForm
	}
	for _, a := range q["addr"] {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			return nil, errAddr
		}
	}
	several, sentinels := len(q["addr"]) > 0, q.Has("master_name")
	switch {
	case u.Scheme == "unix" && (several || sentinels):
		return nil, errSocket
	case sentinels && q.Get("master_name") == "":
		return nil, errSentinel
	case sentinels:
		options, err := redis.ParseFailoverURL(address)
		if err != nil {
			return nil, errForm
		}
		return redis.NewFailoverClient(options), nil
	case several:
		if strings.Trim(u.Path, "/") != "" || q.Has("db") {
			return nil, errDatabase
		}
		options, err := redis.ParseClusterURL(address)
		if err != nil {
			return nil, errForm
		}
		return redis.NewClusterClient(options), nil
	}
	options, err := redis.ParseURL(address)
	if err != nil {
		return nil, errForm
	}
	return redis.NewClient(options), nil
}
