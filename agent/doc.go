// Package agent collects evidence on a host and keeps a token fresh: from a TPM
// 2.0, from the TPM that a paravisor gives a confidential machine on Azure, and from
// SEV-SNP and TDX guests by the kernel's own interface.
//
// Start with [Detect], which says what the host has, or with [OpenTPM] and
// [TPM.Evidence]. [Enrol] binds the agent's attestation key to the TPM; [Loop] attests
// on a schedule and says how it went.
//
// The package reads the devices and files of the host, and nothing else of it. What
// it collects proves nothing until a service has verified it.
package agent
