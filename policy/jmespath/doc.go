// Package jmespath evaluates JMESPath queries (jmespath.org, specification of
// 2015) over JSON documents, with a bound on the work that a query may cause.
//
// [Compile] reads a query once, [ParseDocument] a document once; then
// [Query.Search] applies one to the other any number of times. Besides the
// standard functions there is equals_ignore_case, which attestation policies
// use.
//
// The package is our own because queries come from tenants: a few dozen
// characters can double a value again and again, and libraries have no limit
// to set against that.
package jmespath
