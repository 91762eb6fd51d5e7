package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every number of the file has bounds; the error names the member.
func TestNumbersAreBounded(t *testing.T) {
	for name, text := range map[string]string{
		"limits.body":                 `{"limits":{"body":9223372036854775807}}`,
		"limits.concurrent":           `{"limits":{"concurrent":9223372036854775807}}`,
		"limits.time":                 `{"limits":{"time":"2562047h"}}`,
		"limits.shutdown":             `{"limits":{"shutdown":"1000h"}}`,
		"maxTokenValidity":            `{"maxTokenValidity":"87600h"}`,
		"store.poll":                  `{"store":{"poll":"1ns"}}`,
		"providers.requestsPerSecond": `{"providers":{"requestsPerSecond":1e308}}`,
		"providers.burst":             `{"providers":{"burst":9223372036854775807}}`,
		"providers.concurrent":        `{"providers":{"concurrent":-1}}`,
		"ledger.queue":                `{"ledger":{"queue":9223372036854775807}}`,
		"ledger.checkpoint":           `{"ledger":{"checkpoint":"2562047h"}}`,
		"ledger.minRetentionDays":     `{"ledger":{"minRetentionDays":200000}}`,
		"signing.rotateEvery":         `{"signing":{"rotateEvery":"2562047h"}}`,
		"signing.publishAhead":        `{"signing":{"publishAhead":"2562047h"}}`,
		"signing.overlap":             `{"signing":{"overlap":"2562047h"}}`,
		"fetch.refresh":               `{"fetch":{"refresh":"2562047h"}}`,
		"fetch.warn":                  `{"fetch":{"warn":"2562047h"}}`,
		"fetch.outage":                `{"fetch":{"outage":"169h"}}`,
		"fetch.amd.spacing":           `{"fetch":{"amd":{"spacing":"2h"}}}`,
		"tpm.challengeLifetime":       `{"tpm":{"challengeLifetime":"2562047h"}}`,
		"development.time":            `{"development":{"time":"9999-12-31T23:59:59-23:00"}}`,
		"is not a duration":           `{"limits":{"time":"2562048h"}}`,
		"limits.time: 1ns":            `{"limits":{"time":"1ns"}}`,
		"requestsPerSecond: 1e-300":   `{"providers":{"requestsPerSecond":1e-300}}`,
		"ledger.minRetentionDays: -1": `{"ledger":{"minRetentionDays":-1}}`,
	} {
		file := filepath.Join(t.TempDir(), "config.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file, true); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
