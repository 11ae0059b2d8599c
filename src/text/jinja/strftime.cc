#include "text/jinja/strftime.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/utf8.h"

namespace duet::jinja {
namespace {

constexpr std::array<std::string_view, 7> kDays{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths{"January",   "February", "March",    "April",
                                                   "May",       "June",     "July",     "August",
                                                   "September", "October",  "November", "December"};

struct IsoWeek {
  int year;
  int week;
};

IsoWeek iso_week(const std::tm& time) {
  const auto weeks_in = [](int y) {
    const auto last_day = [](int v) { return (v + v / 4 - v / 100 + v / 400) % 7; };
    return last_day(y) == 4 || last_day(y - 1) == 3 ? 53 : 52;
  };
  const int year = time.tm_year + 1900;
  const int week = (time.tm_yday + 1 - (time.tm_wday + 6) % 7 - 1 + 10) / 7;
  if (week < 1) return {.year = year - 1, .week = weeks_in(year - 1)};
  if (week > weeks_in(year)) return {.year = year + 1, .week = 1};
  return {.year = year, .week = week};
}

/// What stands between '%' and the letter.
struct Directive {
  char pad = 0;  // the last of '_', '-', '0'; 0: as the conversion has it
  bool upper = false, swap = false;
  int64_t width = 0;
  char modifier = 0;  // 'E' or 'O'
};

class Formatter {
 public:
  Formatter(const std::tm& time, size_t most) : time_(time), most_(most) {}

  /// False when the text grew beyond `most` characters.
  bool run(std::string_view format) {
    for (size_t at = 0; at < format.size() && written_ < most_;) {
      const size_t percent = std::min(format.find('%', at), format.size());
      append(format.substr(at, percent - at));
      at = percent;
      if (at < format.size()) at = directive(format, at);
    }
    return written_ < most_;
  }

  std::string take() { return std::move(out_); }

 private:
  void append(std::string_view text) {
    out_ += text;
    written_ += static_cast<size_t>(count_code_points(text));
  }

  /// Reads the directive at `begin`, writes it, returns where it ends.
  size_t directive(std::string_view format, size_t begin) {
    Directive d;
    size_t at = begin + 1;
    for (; at < format.size(); ++at) {
      const char flag = format[at];
      if (flag == '_' || flag == '-' || flag == '0') {
        d.pad = flag;
      } else if (flag == '^') {
        d.upper = true;
      } else if (flag == '#') {
        d.swap = true;
      } else {
        break;
      }
    }
    for (; at < format.size() && format[at] >= '0' && format[at] <= '9'; ++at)
      d.width = std::min<int64_t>(d.width * 10 + (format[at] - '0'), std::numeric_limits<int>::max());
    if (at < format.size() && (format[at] == 'E' || format[at] == 'O')) d.modifier = format[at++];
    if (at < format.size() && convert(d, format[at])) return at + 1;
    // What is no conversion is written as it stands, up to and with the character that is none.
    if (at < format.size()) {
      do ++at;
      while (at < format.size() && (static_cast<unsigned char>(format[at]) & 0xC0U) == 0x80U);
    }
    text(d, format.substr(begin, at - begin));
    return at;
  }

  void fill(int64_t count, char pad) {
    if (count <= 0) return;
    count = std::min<int64_t>(count, static_cast<int64_t>(most_));  // enough to be too long
    out_.append(static_cast<size_t>(count), pad);
    written_ += static_cast<size_t>(count);
  }

  void text(const Directive& d, std::string_view text) {
    fill(d.width - count_code_points(text), d.pad == '0' ? '0' : ' ');
    if (!d.upper) return append(text);
    std::string upper(text);
    std::transform(upper.begin(), upper.end(), upper.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    append(upper);
  }

  void name(Directive d, std::string_view name) {
    d.upper = d.upper || d.swap;
    text(d, name);
  }

  void half_of_day(Directive d, bool lower) {
    d.upper = d.upper && !d.swap && !lower;
    const bool morning = time_.tm_hour < 12;
    text(d, lower || d.swap ? (morning ? "am" : "pm") : (morning ? "AM" : "PM"));
  }

  void number(Directive d, int64_t value, int64_t digits, char pad = '0') {
    if (d.pad == 0) d.pad = pad;
    const std::string plain = std::to_string(value);
    const int64_t missing = std::max(digits, d.width) - static_cast<int64_t>(plain.size());
    if (d.pad == '-') {
      fill(d.width - static_cast<int64_t>(plain.size()), ' ');
    } else {
      fill(missing, d.pad == '_' ? ' ' : '0');
    }
    append(plain);
  }

  bool part(const Directive& d, std::string_view format) {
    Formatter inner(time_, most_);
    inner.run(format);
    text(d, inner.take());
    return true;
  }

  /// False: there is no conversion of this name that takes this modifier.
  bool convert(const Directive& d, char code) {
    constexpr std::string_view kTakeE = "cCxXyYPpstnrRTuzZ%";
    constexpr std::string_view kTakeO = "BbhCdegGHIjklmMpPSstuUVwWynrRTzZ%";
    if (d.modifier == 'E' && kTakeE.find(code) == std::string_view::npos) return false;
    if (d.modifier == 'O' && kTakeO.find(code) == std::string_view::npos) return false;
    return written(d, code);
  }

  bool written(const Directive& d, char code) {
    const int hour12 = time_.tm_hour % 12 == 0 ? 12 : time_.tm_hour % 12;
    const int year = time_.tm_year + 1900;
    switch (code) {
      case 'a':
        return name(d, kDays[static_cast<size_t>(time_.tm_wday)].substr(0, 3)), true;
      case 'A':
        return name(d, kDays[static_cast<size_t>(time_.tm_wday)]), true;
      case 'b':
      case 'h':
        return name(d, kMonths[static_cast<size_t>(time_.tm_mon)].substr(0, 3)), true;
      case 'B':
        return name(d, kMonths[static_cast<size_t>(time_.tm_mon)]), true;
      case 'c':
        return part(d, "%a %b %e %H:%M:%S %Y");
      case 'C':
        return number(d, year / 100, 2), true;
      case 'd':
        return number(d, time_.tm_mday, 2), true;
      case 'D':
      case 'x':
        return part(d, "%m/%d/%y");
      case 'e':
        return number(d, time_.tm_mday, 2, '_'), true;
      case 'F':
        return part(d, "%Y-%m-%d");
      case 'g':
        return number(d, iso_week(time_).year % 100, 2), true;
      case 'G':
        return number(d, iso_week(time_).year, 1), true;
      case 'H':
        return number(d, time_.tm_hour, 2), true;
      case 'I':
        return number(d, hour12, 2), true;
      case 'j':
        return number(d, time_.tm_yday + 1, 3), true;
      case 'k':
        return number(d, time_.tm_hour, 2, '_'), true;
      case 'l':
        return number(d, hour12, 2, '_'), true;
      case 'm':
        return number(d, time_.tm_mon + 1, 2), true;
      case 'M':
        return number(d, time_.tm_min, 2), true;
      case 'n':
        return text(d, "\n"), true;
      case 'p':
        return half_of_day(d, false), true;
      case 'P':
        return half_of_day(d, true), true;
      case 'r':
        return part(d, "%I:%M:%S %p");
      case 'R':
        return part(d, "%H:%M");
      case 's': {
        std::tm copy = time_;
        copy.tm_isdst = -1;
        return text(d, std::to_string(std::mktime(&copy))), true;
      }
      case 'S':
        return number(d, time_.tm_sec, 2), true;
      case 't':
        return text(d, "\t"), true;
      case 'T':
      case 'X':
        return part(d, "%H:%M:%S");
      case 'u':
        return number(d, (time_.tm_wday + 6) % 7 + 1, 1), true;
      case 'U':
        return number(d, (time_.tm_yday + 7 - time_.tm_wday) / 7, 2), true;
      case 'V':
        return number(d, iso_week(time_).week, 2), true;
      case 'w':
        return number(d, time_.tm_wday, 1), true;
      case 'W':
        return number(d, (time_.tm_yday + 7 - (time_.tm_wday + 6) % 7) / 7, 2), true;
      case 'y':
        return number(d, year % 100, 2), true;
      case 'Y':
        return number(d, year, 1), true;
      case 'z':  // a local time without a zone has none
        return true;
      case 'Z':
        return text(d, ""), true;
      case '%':
        return text(d, "%"), true;
      default:
        return false;
    }
  }

  const std::tm& time_;
  size_t most_;
  size_t written_ = 0;  // characters
  std::string out_;
};

/// Python answers %f, %z and %Z itself, where nothing stands between the sign and the letter.
std::string python_parts(std::string_view format) {
  std::string out;
  for (size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%' || at + 1 == format.size()) {
      out += format[at];
      continue;
    }
    const char code = format[++at];
    if (code == 'f') {
      out += "000000";
    } else if (code != 'z' && code != 'Z') {
      out += '%';
      out += code;
    }
  }
  return out;
}

}  // namespace

std::string strftime(const std::tm& time, std::string_view format) {
  const std::string rest = python_parts(format);
  size_t most = 1024;  // Python doubles its buffer from here until it has 256 for each character of the format
  while (most < 256 * static_cast<size_t>(count_code_points(rest))) most *= 2;
  Formatter formatter(time, most);
  return formatter.run(rest) ? formatter.take() : "";
}

}  // namespace duet::jinja
