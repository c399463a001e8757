package config

import "strings"

// LogFormatOf is how a command line that cannot be read is complained about: the format
// that it or the environment asks for, before any setting is loaded.
func LogFormatOf(args, environ []string) string {
	format := environMap(environ)["AZP_LOG_FORMAT"]
	for i, arg := range args {
		if value, is := strings.CutPrefix(arg, "--log-format="); is {
			format = value
		} else if arg == "--log-format" && i+1 < len(args) {
			format = args[i+1]
		}
	}
	if strings.EqualFold(strings.TrimSpace(format), "json") {
		return "json"
	}
	return "text"
}
