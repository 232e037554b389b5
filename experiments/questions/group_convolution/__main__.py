from experiments.group_convolution import main

main()
