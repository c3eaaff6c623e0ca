// Package sts simulates AWS STS: who am I, and roles of other accounts. It checks no trust
// policy: any role of any account can be assumed.
package sts

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rescindhq/rescind/internal/awssim/service"
)

// STS gives out credentials. Its methods are safe for concurrent use.
type STS struct {
	seed uint64

	mu sync.Mutex
	// sessions are the keys that were given out: who they are. A key itself says which account
	// it is for, so that it keeps its meaning when the simulator is made anew.
	sessions map[string]string // ARN by access key
}

// New returns STS. The seed decides what keys are.
func New(seed uint64) *STS { return &STS{seed: seed, sessions: map[string]string{}} }

// Service says how STS is called.
func (s *STS) Service() *service.Service {
	return &service.Service{
		Name: "sts", Protocol: service.Query, XMLNS: "https://sts.amazonaws.com/doc/2011-06-15/",
		Throttled: service.Refuse("Throttling", "Rate exceeded"),
		Denied:    &service.Error{Status: 403, Code: "AccessDenied", Message: "The caller is not authorized to perform this action."},
		Operations: map[string]service.Operation{
			"GetCallerIdentity": service.Action(nil, s.getCallerIdentity),
			"AssumeRole":        service.Action(roleItem, s.assumeRole),
		},
	}
}

func roleItem(in *service.Form) []string { return []string{in.Text("RoleArn")} }

type identityOutput struct {
	UserID  string `xml:"UserId"`
	Account string `xml:"Account"`
	Arn     string `xml:"Arn"`
}

func (s *STS) getCallerIdentity(_ context.Context, c *service.Call, _ *service.Form) (*identityOutput, error) {
	s.mu.Lock()
	arn, ok := s.sessions[c.AccessKey]
	s.mu.Unlock()
	id := "AIDA" + c.Account
	switch _, ours := s.AccountOf(c.AccessKey); {
	case ok:
		id = c.AccessKey + arn[strings.LastIndexByte(arn, '/'):]
		id = strings.Replace(id, "/", ":", 1)
	case ours: // given out by an earlier simulator: the account is known, the role is not
		arn = "arn:aws:sts::" + c.Account + ":assumed-role/unknown/unknown"
	default:
		arn = "arn:aws:iam::" + c.Account + ":user/rescind"
	}
	return &identityOutput{UserID: id, Account: c.Account, Arn: arn}, nil
}

type (
	assumeOutput struct {
		Credentials     credentials `xml:"Credentials"`
		AssumedRoleUser roleUser    `xml:"AssumedRoleUser"`
	}
	credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string `xml:"SecretAccessKey"`
		SessionToken    string `xml:"SessionToken"`
		Expiration      string `xml:"Expiration"`
	}
	roleUser struct {
		AssumedRoleID string `xml:"AssumedRoleId"`
		Arn           string `xml:"Arn"`
	}
)

func (s *STS) assumeRole(_ context.Context, _ *service.Call, in *service.Form) (*assumeOutput, error) {
	role, session := in.Text("RoleArn"), in.Text("RoleSessionName")
	account, name, ok := cutRole(role)
	if !ok {
		return nil, service.Refuse("ValidationError", "%q is not the ARN of a role", role)
	}
	// API_AssumeRole: 2 to 64 of letters, digits and _ + = , . @ -
	if len(session) < 2 || len(session) > 64 {
		return nil, service.Refuse("ValidationError", "roleSessionName must be of 2 to 64 characters")
	}
	lasts := time.Hour // API_AssumeRole: the default; 900 seconds to 12 hours
	if text := in.Text("DurationSeconds"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 900 || n > 43200 {
			return nil, service.Refuse("ValidationError", "durationSeconds must be from 900 to 43200")
		}
		lasts = time.Duration(n) * time.Second
	}
	arn := "arn:aws:sts::" + account + ":assumed-role/" + name + "/" + session
	key, secret := s.keyFor(account, arn)
	s.mu.Lock()
	s.sessions[key] = arn
	s.mu.Unlock()
	return &assumeOutput{
		Credentials: credentials{
			AccessKeyID: key, SecretAccessKey: secret, SessionToken: "session-" + secret,
			Expiration: time.Now().Add(lasts).UTC().Format(time.RFC3339),
		},
		AssumedRoleUser: roleUser{AssumedRoleID: key + ":" + session, Arn: arn},
	}, nil
}

// cutRole reads "arn:aws:iam::123456789012:role/path/NAME".
func cutRole(arn string) (account, name string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "iam" || len(parts[4]) != 12 {
		return "", "", false
	}
	name, ok = strings.CutPrefix(parts[5], "role/")
	return parts[4], name[strings.LastIndexByte(name, '/')+1:], ok && name != ""
}

// Keys are "ASIA", the account in eight characters of base 32, and eight that distinguish
// sessions of the account: the twenty characters of AWS's own.
const sessionPrefix = "ASIA"

var base = base32.StdEncoding.WithPadding(base32.NoPadding)

func (s *STS) keyFor(account, arn string) (key, secret string) {
	h := fnv.New64a()
	_ = binary.Write(h, binary.BigEndian, s.seed)
	_, _ = h.Write([]byte(arn))
	sum := h.Sum(nil)
	number, _ := strconv.ParseUint(account, 10, 64)
	packed := binary.BigEndian.AppendUint64(nil, number)[3:] // 10^12 fits in five bytes
	return sessionPrefix + base.EncodeToString(packed) + base.EncodeToString(sum[:5]), fmt.Sprintf("%040s", hex.EncodeToString(sum))
}

// AccountOf returns the account of a key that AssumeRole gave out.
func (s *STS) AccountOf(key string) (account string, ok bool) {
	if len(key) != 20 || !strings.HasPrefix(key, sessionPrefix) {
		return "", false
	}
	packed, err := base.DecodeString(key[4:12])
	if err != nil {
		return "", false
	}
	number := binary.BigEndian.Uint64(append(make([]byte, 3), packed...))
	if number >= 1e12 {
		return "", false
	}
	return fmt.Sprintf("%012d", number), true
}
