from experiments.conv_variants import main

main()
