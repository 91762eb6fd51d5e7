package snp

// RootsPEM are the embedded certificates.
var RootsPEM = rootsPEM
