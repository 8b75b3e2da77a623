// Makes a certificate: FILE is for everybody who is to know the key, FILE_secret for its owner alone.
#include "device.hpp"

static const char USAGE[] = "usage: make_keys FILE [NAME]\n"
                            "  NAME goes into the certificate, and is a property of every message that its owner sends\n";

int main(int count, char **given)
{
  return device::run(USAGE, [&] {
    device::arguments arguments(count, given, {}, {}, 1, 2);
    const auto &file = arguments.rest()[0];
    for (const auto &made : {file, file + "_secret"})
      if (std::filesystem::exists(std::filesystem::symlink_status(made)))
        throw std::runtime_error(made + " exists: a key that is in use is not overwritten");
    auto keys = ironhouse::certificate::generate();
    if (arguments.rest().size() == 2)
      keys.set_meta("name", arguments.rest()[1]);
    keys.save(file);
    std::printf("%s\n", keys.public_key().c_str());
  });
}
