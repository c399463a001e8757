package config

import "strings"

// LogFormatOf is the log format in the command line or the environment, for an error in the
// command line that comes before settings are loaded.
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
