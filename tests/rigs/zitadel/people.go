package main

import "github.com/zitadel/oidc/v3/pkg/oidc"

// A person who can sign in.
type person struct {
	name, username, email string
	verified              bool
	groups                []string
}

var people = map[string]person{
	"alice": {"Alice Example", "alice", "alice@example.com", true, []string{"staff", "admin"}},
	"bob":   {"Bob Example", "bob", "bob@other.example", false, []string{"guest"}},
}

// What is known of the person and covered by the scopes.
func describe(info *oidc.UserInfo, subject string, scopes []string) {
	known := people[subject]
	info.Subject = subject
	for _, scope := range scopes {
		switch scope {
		case oidc.ScopeProfile:
			info.Name = known.name
			info.PreferredUsername = known.username
		case oidc.ScopeEmail:
			info.Email = known.email
			info.EmailVerified = oidc.Bool(known.verified)
		case "groups":
			info.AppendClaims("groups", known.groups)
		}
	}
}
