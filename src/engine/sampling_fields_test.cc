#include "engine/sampling_fields.h"

#include <gtest/gtest.h>

#include "engine/sampler.h"
#include "tests/support.h"

namespace duet {
namespace {

std::string legal_text(const SamplingField& field) {
  return field.name == "seed" ? "18446744073709551615" : field.name.starts_with("dry-") ? "3" : "1";
}

TEST(SamplingFields, EachIsSetReadAndKeptApart) {
  std::string names;
  for (const SamplingField& field : sampling_fields()) {
    SamplingParams params;
    set_sampling_field(params, field.name, legal_text(field));
    EXPECT_EQ(sampling_field_text(params, field.name), legal_text(field)) << field.name;
    EXPECT_NO_THROW(check_sampling(params));
    for (const SamplingField& other : sampling_fields()) {
      if (other.name == field.name) continue;
      EXPECT_EQ(sampling_field_text(params, other.name), sampling_field_text({}, other.name))
          << field.name << " set " << other.name;
    }
    names += std::string(field.name) + " ";
  }
  EXPECT_EQ(names,
            "temperature top-k top-p min-p typical-p xtc-probability xtc-threshold repeat-penalty presence-penalty "
            "frequency-penalty dry-multiplier dry-base dry-allowed-length seed ");
}

TEST(SamplingFields, TextsComeBackAsTheyAreRead) {
  SamplingParams params;
  for (const char* text : {"0.7", "1", "0", "0.05", "123.25", "1e-20"}) {
    set_sampling_field(params, "temperature", text);
    EXPECT_EQ(sampling_field_text(params, "temperature"), text);
  }
  set_sampling_field(params, "top_p", ".5");
  EXPECT_EQ(params.top_p, 0.5f);
  set_sampling_field(params, "repetition_penalty", "1.05");
  EXPECT_EQ(params.repetition_penalty, 1.05f);
  set_sampling_field(params, "frequency-penalty", "-2");
  EXPECT_EQ(params.frequency_penalty, -2.0f);
}

TEST(SamplingFields, RefusesWhatIsNoLegalNumber) {
  SamplingParams params;
  for (const SamplingField& field : sampling_fields()) {
    for (const char* text :
         {"", " ", "x", "nan", "inf", "-inf", "1x", " 1", "1 ", "1e999", "-1e9", "0x10", "1,5", "--1"}) {
      EXPECT_ERROR(set_sampling_field(params, field.name, text), ErrorCode::kBadValue, std::string(field.name));
      EXPECT_ERROR(set_sampling_field(params, field.name, text), ErrorCode::kBadValue, std::string(field.legal));
    }
    EXPECT_EQ(sampling_field_text(params, field.name), sampling_field_text({}, field.name)) << "a bad text changes it";
  }
  for (const auto& [name, text] :
       std::initializer_list<std::pair<const char*, const char*>>{{"top-p", "0"},
                                                                  {"top-p", "1e-60"},
                                                                  {"top-p", "1.1"},
                                                                  {"top-k", "-1"},
                                                                  {"top-k", "2.5"},
                                                                  {"min-p", "1.01"},
                                                                  {"typical-p", "0"},
                                                                  {"repeat-penalty", "0"},
                                                                  {"dry-base", "0.9"},
                                                                  {"dry-allowed-length", "0"},
                                                                  {"seed", "-1"},
                                                                  {"seed", "18446744073709551616"},
                                                                  {"top-k", "9223372036854775808"},
                                                                  {"temperature", "10001"}}) {
    EXPECT_ERROR(set_sampling_field(params, name, text), ErrorCode::kBadValue, name);
  }
  EXPECT_ERROR(set_sampling_field(params, "temprature", "1"), ErrorCode::kBadValue, "temperature, top-k");
  EXPECT_ERROR(sampling_field_text(params, ""), ErrorCode::kBadValue, "seed");
}

}  // namespace
}  // namespace duet
