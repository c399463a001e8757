// Package calls counts requests to Azure DevOps, under the same names in every
// command that shows metrics: what is drawn of one is drawn of all.
package calls
